// Prompts of `generate`: from flags and file to token ids.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "config/command_line.h"
#include "config/model_config.h"
#include "engine/bring_up.h"
#include "text/tokenizer.h"

namespace lockstep {

// The lines of a file of prompts. name: for messages. Throws Error when there is none, when it cannot be read, and when a line or
// all of it is larger than any model could take, which a device or a pipe without end would be.
std::vector<std::string> read_prompts(std::istream& in, const std::string& name);

// All prompts as token ids, in the order typed, those of the file last. Text goes through the chat template with --chat.
// tokenizer may be null: then every prompt must be token ids.
std::vector<std::vector<int32_t>> encode_prompts(const GenerateOptions& options, const ModelConfig& config,
                                                 const EngineOptions& engine, const Tokenizer* tokenizer);

// Throws Error for a prompt that is empty, has ids outside the vocabulary, or leaves no room in the context; says which one.
void check_prompts(const std::vector<std::vector<int32_t>>& prompts, const ModelConfig& config, const EngineOptions& engine);

// Reads the JSON schema where a file is named instead: whatever does not begin as an object and is not `true` or `false`. Throws
// Error if it cannot be read, and for a form that cannot be followed.
void read_grammar(GrammarSpec& grammar);

// What these prompts ask of the engine.
Workload measure_workload(const std::vector<std::vector<int32_t>>& prompts, int64_t max_tokens, int64_t max_model_len);

}  // namespace lockstep
