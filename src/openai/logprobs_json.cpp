#include "openai/logprobs_json.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

// The least that is written: JSON has no infinity.
double as_number(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

Json bytes_of(const std::string& text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace

std::string LogprobsJson::text_of(int32_t token) const {
  return tokenizer_ != nullptr ? tokenizer_->decode({token}, /*skip_special_tokens=*/false) : fmt::format("token_id:{}", token);
}

Json LogprobsJson::entry(int32_t token, float logprob) const {
  const std::string text = text_of(token);
  return {{"token", text}, {"logprob", as_number(logprob)}, {"bytes", bytes_of(text)}};
}

Json LogprobsJson::chat_entry(int32_t token, const TokenLogprobs& logprobs) const {
  Json one = entry(token, logprobs.logprob);
  one["top_logprobs"] = Json::array();
  for (const TokenLogprob& t : logprobs.top) one["top_logprobs"].push_back(entry(t.token, t.logprob));
  return one;
}

Json LogprobsJson::prompt(const std::vector<int32_t>& tokens, const std::vector<TokenLogprobs>& logprobs) const {
  Json all = Json::array({nullptr});
  for (size_t i = 0; i < logprobs.size() && i + 1 < tokens.size(); ++i) {
    Json here = Json::object();
    const auto add = [&](int32_t token, float logprob) {
      here[std::to_string(token)] = {{"logprob", as_number(logprob)}, {"decoded_token", text_of(token)}};
    };
    add(tokens[i + 1], logprobs[i].logprob);
    for (const TokenLogprob& t : logprobs[i].top) add(t.token, t.logprob);
    all.push_back(std::move(here));
  }
  return all;
}

void CompletionLogprobs::add(int32_t token, const TokenLogprobs* logprobs) {
  const std::string text = style_.text_of(token);
  tokens_.push_back(text);
  values_.push_back(logprobs == nullptr ? Json() : Json(as_number(logprobs->logprob)));
  Json best;
  if (logprobs != nullptr) {
    best = Json::object();
    best[text] = as_number(logprobs->logprob);
    const size_t wanted = std::min(logprobs->top.size(), static_cast<size_t>(style_.most_));
    for (size_t k = 0; k < wanted; ++k) best[style_.text_of(logprobs->top[k].token)] = as_number(logprobs->top[k].logprob);
  }
  top_.push_back(std::move(best));
  offsets_.push_back(offset_);
  offset_ += static_cast<int64_t>(text::count_code_points(text));
}

}  // namespace lockstep
