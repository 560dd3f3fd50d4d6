#include "openai/request_encoder.h"

#include <algorithm>

#include "engine/load_tokenizer.h"

namespace lockstep {

RequestEncoderOptions request_encoder_options(const ApiOptions& api, const EngineOptions& engine, const ModelConfig& config,
                                              int64_t max_model_len) {
  RequestEncoderOptions options;
  options.tokenizer_directory = tokenizer_directory(config, engine);
  options.chat_template = api.chat_template;
  options.max_model_len = max_model_len;
  options.tool_format = api.tool_call_parser;
  options.model_names = api.served_model_names;
  if (!options.model_names.empty()) return options;
  options.model_names = {engine.model};
  const auto path = std::filesystem::path(engine.model).lexically_normal();
  const std::string last = (path.has_filename() ? path : path.parent_path()).filename().string();
  if (last != engine.model && !last.empty()) options.model_names.push_back(last);
  return options;
}

RequestEncoder::RequestEncoder(const ModelConfig& config, const Tokenizer* tokenizer, RequestEncoderOptions options)
    : vocab_size_(config.vocab_size), tokenizer_(tokenizer), options_(std::move(options)) {
  if (!options_.chat_template.empty()) {
    check(tokenizer != nullptr, "--chat-template {}: the model has no tokenizer to encode what it makes",
          options_.chat_template.string());
    chat_ = ChatTemplate::load(options_.tokenizer_directory, options_.chat_template);
  }
  if (tokenizer == nullptr) return;
  try {
    if (!chat_) chat_ = ChatTemplate::load(options_.tokenizer_directory);
  } catch (const Error& error) {
    why_no_chat_ = error.what();  // of interest where messages come
  }
  if (chat_) probe_content();
}

RequestEncoder::~RequestEncoder() = default;

void RequestEncoder::probe_content() {
  const std::string mark = "lockstep-content";
  const auto shows = [&](const RequestJson& content) {
    ChatRequest chat;
    chat.messages.push_back({{"role", "user"}, {"content", content}});
    try {
      const std::string text = chat_->render(chat);
      // A template that knows of no parts writes them out as they are.
      return text.find(mark) != std::string::npos && text.find("type") == std::string::npos;
    } catch (const Error&) {
      return false;
    }
  };
  const bool parts = shows(RequestJson::array({{{"type", "text"}, {"text", mark}}}));
  if (parts) content_ = shows(mark) ? Content::kTextOrParts : Content::kParts;
}

void RequestEncoder::fit_content(ChatRequest& chat) const {
  for (RequestJson& message : chat.messages) {
    RequestJson& content = message["content"];
    if (content_ == Content::kParts && content.is_string()) {
      content = RequestJson::array({{{"type", "text"}, {"text", content}}});
    } else if (content_ == Content::kText && content.is_array()) {
      std::string all;
      for (const RequestJson& part : content) all += (all.empty() ? "" : "\n") + part["text"].get<std::string>();
      content = all;
    }
  }
}

std::vector<int32_t> RequestEncoder::encode_text(const std::string& text, bool add_special_tokens) const {
  if (tokenizer_ == nullptr) throw RequestError("prompt", "a prompt is text, and the model has no tokenizer; give token ids");
  try {
    return tokenizer_->encode(text, add_special_tokens);
  } catch (const Error& error) {
    throw RequestError("prompt", error.what());
  }
}

std::vector<int32_t> RequestEncoder::encode_chat(ChatRequest chat, bool add_special_tokens) const {
  if (tokenizer_ == nullptr)
    throw RequestError("messages", "'messages' need a tokenizer, and the model has none; give token ids");
  if (!chat_) throw RequestError("messages", "'messages' need a chat template: " + why_no_chat_);
  try {
    fit_content(chat);
    return tokenizer_->encode(chat_->render(chat), add_special_tokens);
  } catch (const Error& error) {
    throw RequestError("messages", error.what());
  }
}

ToolFormat RequestEncoder::tool_format(const ChatRequest& chat) const {
  return options_.tool_format ? *options_.tool_format : find_tool_format(chat_->source(chat));
}

void RequestEncoder::check_model(const std::string& name) const {
  const auto& names = options_.model_names;
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return;
  throw UnknownModel(fmt::format("the model '{}' does not exist; there is '{}'", name, model_name()));
}

void RequestEncoder::check_form(const SamplingParams& params) const {
  if (params.grammar.kind == GrammarKind::kNone) return;
  const std::string key = "response_format";
  if (tokenizer_ == nullptr) throw RequestError(key, "output in a given form needs a tokenizer, and the model has none");
  try {
    if (options_.grammars != nullptr) {
      options_.grammars->compile(params);
    } else {
      grammar::compile_grammar(params.grammar, grammar::Alphabet().set());
    }
  } catch (const Error& error) {
    throw RequestError(key, error.what());
  }
}

std::vector<std::vector<int32_t>> RequestEncoder::encode(OpenAiRequest& request) const {
  check_model(request.model);
  check_form(request.sampling);
  if (tokenizer_ == nullptr && !request.sampling.stop.empty()) {
    throw RequestError("stop", "'stop' needs a tokenizer, and the model has none; use 'stop_token_ids'");
  }
  const bool chat = request.endpoint == Endpoint::kChatCompletions;
  const std::string key = chat ? "messages" : "prompt";
  std::vector<std::vector<int32_t>> prompts;
  if (chat) prompts.push_back(encode_chat(request.chat, request.add_special_tokens));
  if (request.has_tools && !request.forces_call) request.tool_format = tool_format(request.chat);
  // Some families' marks are special tokens.
  if (request.tool_format != ToolFormat::kNone) request.sampling.skip_special_tokens = false;
  for (const PromptInput& input : request.prompts) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
      prompts.push_back(*ids);
    } else {
      prompts.push_back(encode_text(std::get<std::string>(input), request.add_special_tokens));
    }
  }
  int64_t longest = 0;
  for (const std::vector<int32_t>& prompt : prompts) {
    const auto length = static_cast<int64_t>(prompt.size());
    if (length == 0) throw RequestError(key, "a prompt has no tokens; give some text");
    if (length >= options_.max_model_len) {
      throw RequestError(key, fmt::format("a prompt has {} tokens; with one to produce it exceeds the context of {}", length,
                                          options_.max_model_len));
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
      throw RequestError(
          "logit_bias", fmt::format("'logit_bias' names token id {} is outside the vocabulary, 0 to {}", token, vocab_size_ - 1));
    }
  }
  const int64_t room = options_.max_model_len - longest;
  if (request.sampling.min_tokens > room) {
    throw RequestError("min_tokens", fmt::format("'min_tokens' is {}, and the context has room for {} after the prompt",
                                                 request.sampling.min_tokens, room));
  }
  if (!request.limits_tokens) request.sampling.max_tokens = static_cast<int32_t>(room);
  return prompts;
}

}  // namespace lockstep
