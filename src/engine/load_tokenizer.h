// The tokenizer that options and model name.
#pragma once

#include <filesystem>
#include <memory>

#include "config/model_config.h"
#include "config/options.h"
#include "text/tokenizer.h"

namespace lockstep {

// The model's tokenizer, or null where it has none. Throws Error if it has one that cannot be used.
std::unique_ptr<Tokenizer> load_tokenizer(const ModelConfig& config, const EngineOptions& options);

// The directory where the tokenizer is, and the chat template; empty where the model names none.
std::filesystem::path tokenizer_directory(const ModelConfig& config, const EngineOptions& options);

}  // namespace lockstep
