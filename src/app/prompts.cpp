#include "app/prompts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "engine/load_tokenizer.h"
#include "grammar/compiler.h"
#include "text/chat_template.h"
#include "text/json_file.h"

namespace lockstep {
namespace {

constexpr size_t kMaxPromptBytes = 64 << 20;          // some 15 million tokens
constexpr size_t kMaxPromptsBytes = size_t{1} << 30;  // all are in memory at once

// A file's name becomes what it holds.
void read_schema(std::string& schema) {
  const size_t first = schema.find_first_not_of(" \t\r\n");
  const bool is_text = first != std::string::npos && schema[first] == '{';
  if (is_text || schema == "true" || schema == "false") return;
  schema = text::read_file(schema, "give --json-schema a file, or the schema itself, which begins with '{'");
}

}  // namespace

std::vector<std::string> read_prompts(std::istream& in, const std::string& name) {
  std::vector<std::string> lines;
  std::string line;
  size_t total = 0;
  const auto end_line = [&] { lines.push_back(std::exchange(line, {})); };
  std::vector<char> part(1 << 16);
  do {
    in.read(part.data(), static_cast<std::streamsize>(part.size()));
    const std::string_view got(part.data(), static_cast<size_t>(in.gcount()));
    total += got.size();
    check(total <= kMaxPromptsBytes, "--prompts {}: has more than {} MiB; split the file", name, kMaxPromptsBytes >> 20);
    size_t begin = 0;
    for (size_t end; (end = got.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
      line += got.substr(begin, end - begin);
      end_line();
    }
    line += got.substr(begin);
    check(line.size() <= kMaxPromptBytes, "--prompts {}: line {} is longer than {} MiB, more than any model's context", name,
          lines.size() + 1, kMaxPromptBytes >> 20);
  } while (in.good());
  check(!in.bad(), "--prompts {}: the file cannot be read past line {}", name, lines.size());
  if (!line.empty()) end_line();
  check(!lines.empty(), "--prompts {}: the file is empty; it should hold one prompt a line", name);
  return lines;
}

std::vector<std::vector<int32_t>> encode_prompts(const GenerateOptions& options, const ModelConfig& config,
                                                 const EngineOptions& engine, const Tokenizer* tokenizer) {
  std::vector<PromptInput> inputs = options.prompts;
  if (!options.prompts_file.empty()) {
    const std::string name = options.prompts_file.string();
    check(!leads_to_directory(options.prompts_file), "--prompts {}: is a directory, expected a file", name);
    std::ifstream file(options.prompts_file, std::ios::binary);
    check(file.good(), "--prompts {}: the file cannot be opened", name);
    for (std::string& line : read_prompts(file, name)) inputs.emplace_back(std::move(line));
  }
  std::optional<ChatTemplate> chat;
  if (options.chat) {
    const std::filesystem::path directory = tokenizer_directory(config, engine);
    check(!directory.empty(), "--chat needs the model's tokenizer_config.json, and {} names no tokenizer", engine.model);
    chat = ChatTemplate::load(directory);
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
    prompts.push_back(chat ? tokenizer->encode(chat->render(plain_chat({{"user", text}})), /*add_special_tokens=*/false)
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

void read_grammar(GrammarSpec& grammar) {
  if (grammar.kind == GrammarKind::kNone) return;
  if (grammar.kind == GrammarKind::kJsonSchema) read_schema(grammar.text);
  // Said before the weights are loaded; which bytes the tokens can spell is not known yet.
  grammar::compile_grammar(grammar, grammar::Alphabet().set());
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
