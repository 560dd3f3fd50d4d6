// OpenAiResponse: what the engine gives for a request, gathered into the body that OpenAI's API answers with.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/request.h"
#include "openai/logprobs_json.h"
#include "openai/request.h"
#include "text/tokenizer.h"

namespace lockstep {

// What stands at the head of every answer and part of one.
struct ResponseHead {
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string model;
};

struct TokenUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = -1;  // of the prompts; -1: not told
  nlohmann::ordered_json json() const;
};

// What a prompt of completions is written as, when it is to be echoed: as it came, or as its tokens decode.
std::string echoed_prompt(const OpenAiRequest& request, size_t prompt, const std::vector<int32_t>& tokens,
                          const Tokenizer* tokenizer);

ToolCallParser make_tool_parser(const OpenAiRequest& request);

// Calls as `tool_calls` lists them. The id of a call is made from that of the answer, the choice and the call's number, so that
// it is the same whenever the answer is made again.
nlohmann::ordered_json tool_calls_json(const std::vector<ToolCall>& calls, ToolFormat format, const std::string& answer_id,
                                       size_t choice, size_t first_number);

class OpenAiResponse {
 public:
  using Json = nlohmann::ordered_json;

  // prompts: the token ids of each prompt, one request of the engine each. tokenizer may be null.
  OpenAiResponse(OpenAiRequest request, std::vector<std::vector<int32_t>> prompts, const Tokenizer* tokenizer);

  const OpenAiRequest& request() const { return request_; }
  const std::vector<std::vector<int32_t>>& prompts() const { return prompts_; }
  // output: of the engine's request for prompts()[prompt].
  void add(size_t prompt, const SequenceOutput& output);
  bool has_output() const { return has_output_; }
  bool done() const { return num_running_ == 0; }
  int64_t prompt_tokens() const;
  int64_t completion_tokens() const { return completion_tokens_; }
  int64_t cached_tokens() const { return cached_tokens_; }

  // The body of an answer that is not streamed. tells_cached: usage says how much of the prompts was not computed.
  Json body(const ResponseHead& head, bool tells_cached) const;

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
  Json chat_choice(const Choice& choice, const std::string& id, size_t index) const;
  Json completion_logprobs(size_t prompt, const Choice& choice) const;
  Json chat_logprobs(const Choice& choice) const;

  OpenAiRequest request_;
  std::vector<std::vector<int32_t>> prompts_;
  const Tokenizer* tokenizer_;
  LogprobsJson style_;
  std::vector<Prompt> results_;
  int64_t num_running_ = 0;  // choices
  int64_t completion_tokens_ = 0;
  int64_t cached_tokens_ = 0;
  bool has_output_ = false;
};

// "stop", "length", "timeout"; null while it runs.
nlohmann::ordered_json finish_reason(FinishReason reason);

}  // namespace lockstep
