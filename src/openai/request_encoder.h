// RequestEncoder: the prompts of a request as token ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/model_config.h"
#include "grammar/compiler.h"
#include "openai/request.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lockstep {

struct RequestEncoderOptions {
  std::filesystem::path tokenizer_directory;     // where the chat template is, too
  std::filesystem::path chat_template;           // a file to take instead; empty: none
  std::vector<std::string> model_names;          // what `model` may say; the first is the one of answers
  int64_t max_model_len = 0;                     // the context that is served
  std::optional<ToolFormat> tool_format;         // absent: the one that the template tells
  grammar::GrammarCompiler* grammars = nullptr;  // the engine's, borrowed, so that forms of outputs are compiled here; null: not
};

// model_names: those of the options, or the model's name as it was given, and the last part of its path.
RequestEncoderOptions request_encoder_options(const ApiOptions& api, const EngineOptions& engine, const ModelConfig& config,
                                              int64_t max_model_len);

class RequestEncoder {
 public:
  // tokenizer is borrowed and may be null: then prompts must be token ids. Throws Error for a file of a chat template that is
  // none; what is wrong with the model's own is said where a chat is asked for.
  RequestEncoder(const ModelConfig& config, const Tokenizer* tokenizer, RequestEncoderOptions options);
  ~RequestEncoder();

  const std::vector<std::string>& model_names() const { return options_.model_names; }
  const std::string& model_name() const { return options_.model_names.front(); }
  int64_t max_model_len() const { return options_.max_model_len; }
  const Tokenizer* tokenizer() const { return tokenizer_; }
  // Token ids of each prompt; request.sampling.max_tokens is cut to what the context leaves, and request.tool_format set. Throws
  // RequestError for a prompt that is empty, has ids that are none, or does not fit; for text without a tokenizer; for messages
  // that the template refuses; for a form of the output that cannot be followed; and for another model. Safe to call from several
  // threads.
  std::vector<std::vector<int32_t>> encode(OpenAiRequest& request) const;
  // Throws RequestError unless the name is empty or one of model_names().
  void check_model(const std::string& name) const;
  // The token ids of one prompt, without looking at their number; may be none. Throws RequestError.
  std::vector<int32_t> encode_chat(ChatRequest chat, bool add_special_tokens) const;
  std::vector<int32_t> encode_text(const std::string& text, bool add_special_tokens) const;

 private:
  // What a template makes of the content of a message.
  enum class Content { kText, kTextOrParts, kParts };
  void probe_content();
  void check_form(const SamplingParams& params) const;
  void fit_content(ChatRequest& chat) const;
  ToolFormat tool_format(const ChatRequest& chat) const;

  int64_t vocab_size_;
  const Tokenizer* tokenizer_;
  RequestEncoderOptions options_;
  std::optional<ChatTemplate> chat_;
  Content content_ = Content::kText;
  std::string why_no_chat_;
};

}  // namespace lockstep
