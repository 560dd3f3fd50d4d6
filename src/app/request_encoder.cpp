#include "app/request_encoder.h"

#include <algorithm>

namespace lockstep {

RequestEncoder::RequestEncoder(const ModelConfig& config, const Tokenizer* tokenizer,
                               const std::filesystem::path& tokenizer_directory, std::vector<std::string> model_names,
                               int64_t max_model_len)
    : vocab_size_(config.vocab_size), tokenizer_(tokenizer), model_names_(std::move(model_names)), max_model_len_(max_model_len) {
  if (tokenizer == nullptr) return;
  try {
    chat_ = ChatTemplate::load(tokenizer_directory);
  } catch (const Error& error) {
    why_no_chat_ = error.what();  // of interest where messages come
  }
}

RequestEncoder::~RequestEncoder() = default;

std::vector<int32_t> RequestEncoder::encode_chat(const OpenAiRequest& request) const {
  if (tokenizer_ == nullptr)
    throw RequestError("messages", "'messages' need a tokenizer, and the model has none; give token ids");
  if (!chat_) throw RequestError("messages", "'messages' need a chat template: " + why_no_chat_);
  std::vector<ChatMessage> messages;
  for (const OpenAiMessage& message : request.messages) messages.push_back({message.role, message.content});
  try {
    // The template spells its special tokens out.
    return tokenizer_->encode(chat_->render(messages), /*add_special_tokens=*/false);
  } catch (const Error& error) {
    throw RequestError("messages", error.what());
  }
}

std::vector<std::vector<int32_t>> RequestEncoder::encode(OpenAiRequest& request) const {
  if (!request.model.empty() && std::find(model_names_.begin(), model_names_.end(), request.model) == model_names_.end()) {
    throw RequestError("model", fmt::format("the model '{}' does not exist; there is '{}'", request.model, model_name()));
  }
  if (tokenizer_ == nullptr && !request.sampling.stop.empty()) {
    throw RequestError("stop", "'stop' needs a tokenizer, and the model has none; use 'stop_token_ids'");
  }
  const bool chat = request.endpoint == Endpoint::kChatCompletions;
  const std::string key = chat ? "messages" : "prompt";
  std::vector<std::vector<int32_t>> prompts;
  if (chat) prompts.push_back(encode_chat(request));
  for (const PromptInput& input : request.prompts) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
      prompts.push_back(*ids);
    } else if (tokenizer_ != nullptr) {
      prompts.push_back(tokenizer_->encode(std::get<std::string>(input), request.add_special_tokens));
    } else {
      throw RequestError(key, "a prompt is text, and the model has no tokenizer; give token ids");
    }
  }
  int64_t longest = 0;
  for (const std::vector<int32_t>& prompt : prompts) {
    const auto length = static_cast<int64_t>(prompt.size());
    if (length == 0) throw RequestError(key, "a prompt has no tokens; give some text");
    if (length >= max_model_len_) {
      throw RequestError(
          key, fmt::format("a prompt has {} tokens; with one to produce it exceeds the context of {}", length, max_model_len_));
    }
    for (const int32_t token : prompt) {
      if (token >= vocab_size_) {
        throw RequestError(key, fmt::format("token id {} is outside the vocabulary, 0 to {}", token, vocab_size_ - 1));
      }
    }
    longest = std::max(longest, length);
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (token >= vocab_size_) {
      throw RequestError("logit_bias", fmt::format("token id {} is outside the vocabulary, 0 to {}", token, vocab_size_ - 1));
    }
  }
  const int64_t room = max_model_len_ - longest;
  if (request.sampling.min_tokens > room) {
    throw RequestError("min_tokens", fmt::format("'min_tokens' is {}, and the context has room for {} after the prompt",
                                                 request.sampling.min_tokens, room));
  }
  if (!request.limits_tokens) request.sampling.max_tokens = static_cast<int32_t>(room);
  return prompts;
}

}  // namespace lockstep
