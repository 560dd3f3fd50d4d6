// Files of requests for `bench throughput`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/model_config.h"

namespace lockstep {

struct BenchRequest {
  std::vector<int32_t> prompt;  // token ids
  int32_t output_len = 0;       // tokens to produce
};

struct RequestFileOptions {
  int64_t count = 0;                // requests to take, from the start of the file
  int32_t default_output_len = 0;   // for lines without max_tokens
  int64_t max_model_len = 0;        // prompt and output must fit into it
  std::filesystem::path tokenizer;  // tokenizer.json or its directory; empty: none, and every prompt must be token ids
};

// Two kinds of files, told apart by their first character:
//   '['  ShareGPT: a JSON array of objects with `conversations`, a list of {from, value}. The first turn is the prompt, the
//   tokens
//        of the second are how many to produce. What has fewer turns, is empty or does not fit the context is left out, and
//        logged.
//   else JSON lines with one of prompt (text, or token ids), messages (through the chat template) and prompt_token_ids, and
//        max_tokens or nothing. A line that is wrong or does not fit is an error.
// Throws Error naming file and line or entry.
std::vector<BenchRequest> read_request_file(const std::filesystem::path& file, const ModelConfig& config,
                                            const RequestFileOptions& options);

}  // namespace lockstep
