#include "app/prompts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"

namespace lockstep {
namespace {

std::filesystem::path tokenizer_path(const ModelConfig& config, const EngineOptions& options) {
  return options.tokenizer.empty() ? config.tokenizer : std::filesystem::path(options.tokenizer);
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  check(file.good(), "--prompts {}: the file cannot be opened", path.string());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  check(!file.bad(), "--prompts {}: the file cannot be read past line {}", path.string(), lines.size());
  check(!lines.empty(), "--prompts {}: the file is empty; it should hold one prompt a line", path.string());
  return lines;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const ModelConfig& config, const EngineOptions& options) {
  std::filesystem::path path = tokenizer_path(config, options);
  if (path.empty()) return nullptr;
  if (std::filesystem::is_directory(path)) path /= "tokenizer.json";
  if (options.tokenizer.empty() && !std::filesystem::exists(path)) return nullptr;
  return Tokenizer::load(path);
}

std::vector<std::vector<int32_t>> encode_prompts(const GenerateOptions& options, const ModelConfig& config,
                                                 const EngineOptions& engine, const Tokenizer* tokenizer) {
  std::vector<PromptInput> inputs = options.prompts;
  if (!options.prompts_file.empty()) {
    for (std::string& line : read_lines(options.prompts_file)) inputs.emplace_back(std::move(line));
  }
  std::optional<ChatTemplate> chat;
  if (options.chat) {
    const std::filesystem::path path = tokenizer_path(config, engine);
    check(!path.empty(), "--chat needs the model's tokenizer_config.json, and {} names no tokenizer", engine.model);
    chat = ChatTemplate::load(std::filesystem::is_directory(path) ? path : path.parent_path());
  }
  std::vector<std::vector<int32_t>> prompts;
  for (const PromptInput& input : inputs) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
      prompts.push_back(*ids);
      continue;
    }
    const std::string& text = std::get<std::string>(input);
    check(tokenizer != nullptr,
          "a prompt is text, but {} has no tokenizer.json; use --prompt-token-ids, or name one with --tokenizer", engine.model);
    // A chat template spells its special tokens out; a plain prompt gets those that the tokenizer adds (BOS).
    prompts.push_back(chat ? tokenizer->encode(chat->render({{"user", text}}), /*add_special_tokens=*/false)
                           : tokenizer->encode(text, /*add_special_tokens=*/true));
  }
  return prompts;
}

void check_prompts(const std::vector<std::vector<int32_t>>& prompts, const ModelConfig& config, const EngineOptions& engine) {
  const int64_t context = engine.max_model_len > 0 ? engine.max_model_len : config.max_position_embeddings;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::vector<int32_t>& prompt = prompts[i];
    check(!prompt.empty(), "prompt {} of {} is empty and the tokenizer adds no BOS token; give some text", i + 1, prompts.size());
    check(static_cast<int64_t>(prompt.size()) < context,
          "prompt {} of {} has {} tokens; with one to produce it exceeds the context of {} (--max-model-len)", i + 1,
          prompts.size(), prompt.size(), context);
    for (const int32_t token : prompt) {
      check(token >= 0 && token < config.vocab_size, "prompt {} of {} has token id {}, outside the model's vocabulary of 0 to {}",
            i + 1, prompts.size(), token, config.vocab_size - 1);
    }
  }
}

Workload measure_workload(const std::vector<std::vector<int32_t>>& prompts, int64_t max_tokens, int64_t max_model_len) {
  Workload workload;
  for (const std::vector<int32_t>& prompt : prompts) {
    const auto length = static_cast<int64_t>(prompt.size());
    const int64_t total = std::min(length + max_tokens, max_model_len);
    ++workload.num_sequences;
    workload.prompt_tokens += length;
    workload.total_tokens += total;
    workload.longest = std::max(workload.longest, total);
  }
  return workload;
}

}  // namespace lockstep
