// Log-probabilities as the API writes them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "engine/request.h"
#include "text/tokenizer.h"

namespace lockstep {

class LogprobsJson {
 public:
  using Json = nlohmann::ordered_json;

  // tokenizer may be null: then tokens are written as token_id:N. most: how many of the best are written.
  LogprobsJson(const Tokenizer* tokenizer, int32_t most) : tokenizer_(tokenizer), most_(most) {}

  // An entry of `content` of chat completions.
  Json chat_entry(int32_t token, const TokenLogprobs& logprobs) const;
  // prompt_logprobs as vLLM has them: for each token of the prompt what could have stood there, by id; null for the first.
  // logprobs: of the tokens but the first.
  Json prompt(const std::vector<int32_t>& tokens, const std::vector<TokenLogprobs>& logprobs) const;
  std::string text_of(int32_t token) const;

 private:
  friend class CompletionLogprobs;
  Json entry(int32_t token, float logprob) const;

  const Tokenizer* tokenizer_;
  int32_t most_;
};

// `logprobs` of completions, of a piece of a choice.
class CompletionLogprobs {
 public:
  using Json = nlohmann::ordered_json;

  // offset: characters of the text before the piece; counts on.
  CompletionLogprobs(const LogprobsJson& style, int64_t& offset) : style_(style), offset_(offset) {}
  // logprobs: null where there are none (the first token of a prompt).
  void add(int32_t token, const TokenLogprobs* logprobs);
  Json take() { return {{"tokens", tokens_}, {"token_logprobs", values_}, {"top_logprobs", top_}, {"text_offset", offsets_}}; }

 private:
  const LogprobsJson& style_;
  int64_t& offset_;
  Json tokens_ = Json::array(), values_ = Json::array(), top_ = Json::array(), offsets_ = Json::array();
};

}  // namespace lockstep
