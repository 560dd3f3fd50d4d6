// OpenAiResponse: what the engine gives for a request, gathered into the body that OpenAI's API answers with.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/openai_request.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace lockstep {

class OpenAiResponse {
 public:
  using Json = nlohmann::ordered_json;

  // prompts: the token ids of each prompt, one request of the engine each. tokenizer may be null.
  OpenAiResponse(OpenAiRequest request, std::vector<std::vector<int32_t>> prompts, const Tokenizer* tokenizer);

  const OpenAiRequest& request() const { return request_; }
  const std::vector<std::vector<int32_t>>& prompts() const { return prompts_; }
  // output: of the engine's request for prompts()[prompt].
  void add(size_t prompt, const SequenceOutput& output);
  bool has_output() const { return completion_tokens_ > 0; }
  bool done() const { return num_running_ == 0; }
  int64_t prompt_tokens() const;
  int64_t completion_tokens() const { return completion_tokens_; }

  // The body of an answer that is not streamed. created: seconds since 1970.
  Json body(const std::string& id, int64_t created, const std::string& model) const;

 private:
  struct Choice {
    std::string text;
    std::vector<int32_t> tokens;
    std::vector<TokenLogprobs> logprobs;
    FinishReason finish = FinishReason::kNone;
  };
  struct Prompt {
    std::vector<Choice> choices;
    std::vector<TokenLogprobs> logprobs;  // of the prompt's tokens but the first
  };
  Json completion_choice(size_t prompt, const Choice& choice) const;
  Json chat_choice(const Choice& choice) const;
  Json completion_logprobs(size_t prompt, const Choice& choice) const;
  Json chat_logprobs(const Choice& choice) const;
  Json prompt_logprobs(size_t prompt) const;
  std::string prompt_text(size_t prompt) const;
  std::string token_text(int32_t token) const;

  OpenAiRequest request_;
  std::vector<std::vector<int32_t>> prompts_;
  const Tokenizer* tokenizer_;
  std::vector<Prompt> results_;
  int64_t num_running_ = 0;  // choices
  int64_t completion_tokens_ = 0;
};

// "stop", "length", "timeout"; null while it runs.
nlohmann::ordered_json finish_reason(FinishReason reason);

}  // namespace lockstep
