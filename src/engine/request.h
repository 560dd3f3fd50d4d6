// What the engine is asked for, and what it gives back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/world.h"
#include "engine/outcome.h"

namespace lockstep {

// How a request is treated beside others; what it asks of each token is in SamplingParams.
struct RequestOptions {
  int32_t priority = 0;            // higher goes first
  std::optional<Seconds> timeout;  // from now on; what is not finished by then ends with FinishReason::kTimeout
  // Requests with different salts share no KV blocks, so that nobody learns from the time taken what others have asked.
  std::string cache_salt;
};

// What one step brought for one sequence.
struct SequenceOutput {
  int64_t id = 0;      // of the request
  int32_t index = 0;   // which of its continuations
  int32_t token = -1;  // -1: none, its time was up
  std::string text;    // newly certain text; empty without a tokenizer
  std::optional<TokenLogprobs> logprobs;
  std::vector<TokenLogprobs> prompt_logprobs;  // with the first token of continuation 0: of the prompt's tokens 1, 2, ...
  int64_t num_cached_tokens = 0;               // of the prompt, that were not computed
  FinishReason finish = FinishReason::kNone;
};

struct EngineStats {
  int64_t num_running = 0;  // sequences
  int64_t num_waiting = 0;
  int64_t num_blocks = 0;  // of the KV cache
  int64_t num_blocks_used = 0;
  // Since the start:
  int64_t num_preemptions = 0;
  int64_t prefix_queries = 0;  // tokens of sequences that looked for computed blocks
  int64_t prefix_hits = 0;     // tokens of blocks that they found
  int64_t num_steps = 0;
  int64_t prompt_tokens = 0;  // of requests whose first token has come
  int64_t output_tokens = 0;
  int64_t num_stopped = 0;  // sequences by how they ended
  int64_t num_at_length = 0;
  int64_t num_timed_out = 0;
  int64_t num_cancelled = 0;
};

}  // namespace lockstep
