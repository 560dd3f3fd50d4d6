#include "tools/request_file.h"

#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Text to ids; reads the tokenizer and the chat template only when they are needed.
class Encoder {
 public:
  explicit Encoder(fs::path tokenizer) : path_(std::move(tokenizer)) {}

  std::vector<int32_t> prompt(const std::string& text) { return tokenizer().encode(text, /*add_special_tokens=*/true); }
  size_t count(const std::string& text) { return tokenizer().encode(text, /*add_special_tokens=*/false).size(); }
  std::vector<int32_t> chat(const std::vector<ChatMessage>& messages) {
    if (!chat_) chat_ = ChatTemplate::load(fs::is_directory(path_) ? path_ : path_.parent_path());
    return tokenizer().encode(chat_->render(plain_chat(messages)), /*add_special_tokens=*/false);
  }

 private:
  const Tokenizer& tokenizer() {
    check(!path_.empty(),
          "the prompt is text, and the model has no tokenizer; name one with --tokenizer, or give prompt_token_ids");
    if (tokenizer_ == nullptr) tokenizer_ = Tokenizer::load(path_);
    return *tokenizer_;
  }
  fs::path path_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
};

const std::string& text_of(const Json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  check(it != object.end() && it->is_string(), "'{}' is missing or not a string", key);
  return it->get_ref<const std::string&>();
}

std::vector<int32_t> ids_of(const Json& list, const char* key) {
  check(list.is_array(), "'{}' is {}; expected a list of token ids", key, list.type_name());
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    check(id.is_number_integer() && id >= 0 && id <= std::numeric_limits<int32_t>::max(), "'{}' holds {}; expected token ids",
          key, id.dump());
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

std::vector<int32_t> prompt_of(const Json& request, Encoder& encoder) {
  check(request.is_object(), "{} where a request should be an object", request.type_name());
  const int given = static_cast<int>(request.contains("prompt")) + static_cast<int>(request.contains("messages")) +
                    static_cast<int>(request.contains("prompt_token_ids"));
  check(given == 1, "{} of prompt, messages and prompt_token_ids are given; expected one", given);
  if (request.contains("prompt_token_ids")) return ids_of(request["prompt_token_ids"], "prompt_token_ids");
  if (request.contains("messages")) {
    check(request["messages"].is_array(), "'messages' is {}; expected a list", request["messages"].type_name());
    std::vector<ChatMessage> messages;
    for (const Json& message : request["messages"]) messages.push_back({text_of(message, "role"), text_of(message, "content")});
    return encoder.chat(messages);
  }
  if (request["prompt"].is_array()) return ids_of(request["prompt"], "prompt");
  return encoder.prompt(text_of(request, "prompt"));
}

int32_t output_len_of(const Json& request, int32_t otherwise) {
  const auto it = request.find("max_tokens");
  if (it == request.end() || it->is_null()) return otherwise;
  check(it->is_number_integer() && *it >= 1 && *it <= std::numeric_limits<int32_t>::max(),
        "'max_tokens' is {}; allowed: integers from 1", it->dump());
  return it->get<int32_t>();
}

bool fits(const BenchRequest& request, const RequestFileOptions& options) {
  return static_cast<int64_t>(request.prompt.size()) + request.output_len <= options.max_model_len;
}

Json parse(const std::string& text) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    fail("not JSON: {}", error.what());
  }
}

std::vector<BenchRequest> read_lines(std::istream& in, const ModelConfig& config, const RequestFileOptions& options,
                                     Encoder& encoder, int64_t& line) {
  std::vector<BenchRequest> requests;
  for (std::string text; static_cast<int64_t>(requests.size()) < options.count && std::getline(in, text);) {
    ++line;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json json = parse(text);
    BenchRequest request;
    request.prompt = prompt_of(json, encoder);
    request.output_len = output_len_of(json, options.default_output_len);
    check(!request.prompt.empty(), "the prompt has no tokens");
    for (const int32_t id : request.prompt) {
      check(id < config.vocab_size, "token id {} is outside the vocabulary of {}", id, config.vocab_size);
    }
    check(fits(request, options), "{} prompt tokens and {} to produce exceed the context of {} (--max-model-len)",
          request.prompt.size(), request.output_len, options.max_model_len);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<BenchRequest> read_share_gpt(std::istream& in, const RequestFileOptions& options, Encoder& encoder, int64_t& entry) {
  const Json all = parse({std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()});
  std::vector<BenchRequest> requests;
  for (const Json& one : all) {
    if (static_cast<int64_t>(requests.size()) == options.count) break;
    ++entry;
    const auto turns = one.is_object() ? one.find("conversations") : one.end();
    check(turns != one.end() && turns->is_array(), "'conversations' is missing or not a list");
    if (turns->size() < 2) continue;
    BenchRequest request;
    request.prompt = encoder.prompt(text_of((*turns)[0], "value"));
    request.output_len = static_cast<int32_t>(encoder.count(text_of((*turns)[1], "value")));
    if (!request.prompt.empty() && request.output_len > 0 && fits(request, options)) requests.push_back(std::move(request));
  }
  const auto left_out = entry - static_cast<int64_t>(requests.size());
  if (left_out > 0) spdlog::info("{} of {} conversations are left out: one turn, empty, or too long", left_out, entry);
  return requests;
}

}  // namespace

std::vector<BenchRequest> read_request_file(const fs::path& file, const ModelConfig& config, const RequestFileOptions& options) {
  std::ifstream in(file, std::ios::binary);
  check(in.good(), "--dataset {}: the file cannot be opened", file.string());
  in >> std::ws;
  const bool share_gpt = in.peek() == '[';
  if (!share_gpt) in.seekg(0);  // so that lines count from the first
  in.clear();
  Encoder encoder(options.tokenizer);
  int64_t place = 0;
  std::vector<BenchRequest> requests;
  try {
    requests = share_gpt ? read_share_gpt(in, options, encoder, place) : read_lines(in, config, options, encoder, place);
  } catch (const Error& error) {
    fail("--dataset {}, {} {}: {}", file.string(), share_gpt ? "entry" : "line", place, error.what());
  }
  check(!in.bad(), "--dataset {}: the file cannot be read past {} {}", file.string(), share_gpt ? "entry" : "line", place);
  check(!requests.empty(), "--dataset {}: there is no usable request in it", file.string());
  return requests;
}

}  // namespace lockstep
