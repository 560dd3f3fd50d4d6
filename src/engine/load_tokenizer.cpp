#include "engine/load_tokenizer.h"

#include "base/files.h"

namespace lockstep {
namespace {

std::filesystem::path tokenizer_path(const ModelConfig& config, const EngineOptions& options) {
  return options.tokenizer.empty() ? config.tokenizer : std::filesystem::path(options.tokenizer);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const ModelConfig& config, const EngineOptions& options) {
  std::filesystem::path path = tokenizer_path(config, options);
  if (path.empty()) return nullptr;
  if (leads_to_directory(path)) path /= "tokenizer.json";
  if (options.tokenizer.empty() && !is_listed(path)) return nullptr;
  return Tokenizer::load(path);
}

std::filesystem::path tokenizer_directory(const ModelConfig& config, const EngineOptions& options) {
  const std::filesystem::path path = tokenizer_path(config, options);
  return leads_to_directory(path) ? path : path.parent_path();
}

}  // namespace lockstep
