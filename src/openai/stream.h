// OpenAiStream: what the engine gives for a request, as the parts of a streamed answer.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "openai/response.h"

namespace lockstep {

class OpenAiStream {
 public:
  using Json = nlohmann::ordered_json;

  OpenAiStream(OpenAiRequest request, std::vector<std::vector<int32_t>> prompts, const Tokenizer* tokenizer, ResponseHead head,
               bool tells_cached);

  const OpenAiRequest& request() const { return request_; }
  // Appends the parts that this output makes: objects of the kind chat.completion.chunk or text_completion. A token whose text is
  // not settled yet goes with the next one's part.
  void add(size_t prompt, const SequenceOutput& output, std::vector<Json>& parts);
  // The part after the last, where the request wants one, with the usage alone.
  void finish(std::vector<Json>& parts) const;
  bool done() const { return num_running_ == 0; }
  TokenUsage usage() const;

 private:
  struct Choice {
    bool begun = false;
    std::vector<int32_t> tokens;  // not sent yet
    std::vector<TokenLogprobs> logprobs;
    int64_t offset = 0;  // characters sent, as text_offset counts them
    ToolCallParser tools{ToolFormat::kNone};
    size_t num_calls = 0;
  };
  Json part(Json choices) const;
  Json choice_head(size_t prompt, size_t index) const;
  void add_chat(Choice& choice, size_t index, const SequenceOutput& output, std::vector<Json>& parts);
  void add_completion(Choice& choice, size_t prompt, size_t index, const SequenceOutput& output, std::vector<Json>& parts);
  Json take_chat_logprobs(Choice& choice) const;

  OpenAiRequest request_;
  std::vector<std::vector<int32_t>> prompts_;
  const Tokenizer* tokenizer_;
  LogprobsJson style_;
  ResponseHead head_;
  bool tells_cached_;
  std::vector<Choice> choices_;  // n of each prompt
  std::vector<std::vector<TokenLogprobs>> prompt_logprobs_;
  int64_t num_running_;
  TokenUsage usage_;
};

}  // namespace lockstep
