// RequestEncoder: the prompts of a request as token ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/openai_request.h"
#include "config/model_config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lockstep {

class RequestEncoder {
 public:
  // tokenizer may be null: then prompts must be token ids. model_names: what `model` may say; the first is the one of answers.
  // max_model_len: the context that is served.
  RequestEncoder(const ModelConfig& config, const Tokenizer* tokenizer, const std::filesystem::path& tokenizer_directory,
                 std::vector<std::string> model_names, int64_t max_model_len);
  ~RequestEncoder();

  const std::string& model_name() const { return model_names_.front(); }
  const Tokenizer* tokenizer() const { return tokenizer_; }
  // Token ids of each prompt; request.sampling.max_tokens is cut to what the context leaves. Throws RequestError for a prompt
  // that is empty, has ids that are none, or does not fit; for text without a tokenizer; for messages that the template refuses;
  // and for another model. Safe to call from several threads.
  std::vector<std::vector<int32_t>> encode(OpenAiRequest& request) const;

 private:
  std::vector<int32_t> encode_chat(const OpenAiRequest& request) const;

  int64_t vocab_size_;
  const Tokenizer* tokenizer_;
  std::optional<ChatTemplate> chat_;
  std::string why_no_chat_;
  std::vector<std::string> model_names_;
  int64_t max_model_len_;
};

}  // namespace lockstep
