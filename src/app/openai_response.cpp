#include "app/openai_response.h"

#include <algorithm>

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

// The least that is written: JSON has no infinity.
double as_number(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

int64_t count_characters(const std::string& utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

Json bytes_of(const std::string& text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace

nlohmann::ordered_json finish_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kTimeout: return "timeout";
    case FinishReason::kNone: break;
  }
  return nullptr;
}

OpenAiResponse::OpenAiResponse(OpenAiRequest request, std::vector<std::vector<int32_t>> prompts, const Tokenizer* tokenizer)
    : request_(std::move(request)), prompts_(std::move(prompts)), tokenizer_(tokenizer), results_(prompts_.size()) {
  for (Prompt& prompt : results_) prompt.choices.resize(static_cast<size_t>(request_.sampling.n));
  num_running_ = static_cast<int64_t>(prompts_.size()) * request_.sampling.n;
}

void OpenAiResponse::add(size_t prompt, const SequenceOutput& output) {
  Prompt& result = results_.at(prompt);
  Choice& choice = result.choices.at(static_cast<size_t>(output.index));
  if (output.token >= 0) {
    choice.tokens.push_back(output.token);
    ++completion_tokens_;
  }
  choice.text += output.text;
  if (output.logprobs) choice.logprobs.push_back(*output.logprobs);
  if (!output.prompt_logprobs.empty()) result.logprobs = output.prompt_logprobs;
  choice.finish = output.finish;
  if (output.finish != FinishReason::kNone) --num_running_;
}

int64_t OpenAiResponse::prompt_tokens() const {
  int64_t total = 0;
  for (const std::vector<int32_t>& prompt : prompts_) total += static_cast<int64_t>(prompt.size());
  return total;
}

std::string OpenAiResponse::token_text(int32_t token) const {
  return tokenizer_ != nullptr ? tokenizer_->decode({token}, /*skip_special_tokens=*/false) : fmt::format("token_id:{}", token);
}

std::string OpenAiResponse::prompt_text(size_t prompt) const {
  if (const auto* text = std::get_if<std::string>(&request_.prompts.at(prompt))) return *text;
  return tokenizer_ != nullptr ? tokenizer_->decode(prompts_[prompt], /*skip_special_tokens=*/false) : std::string();
}

Json OpenAiResponse::completion_logprobs(size_t prompt, const Choice& choice) const {
  if (request_.sampling.logprobs < 0) return nullptr;
  Json tokens = Json::array(), values = Json::array(), top = Json::array(), offsets = Json::array();
  int64_t offset = 0;
  const auto add = [&](int32_t token, const TokenLogprobs* l) {
    const std::string text = token_text(token);
    tokens.push_back(text);
    values.push_back(l == nullptr ? Json() : Json(as_number(l->logprob)));
    Json best = l == nullptr ? Json() : Json::object();
    if (l != nullptr) {
      best[text] = as_number(l->logprob);
      const size_t wanted = std::min(l->top.size(), static_cast<size_t>(request_.sampling.logprobs));
      for (size_t k = 0; k < wanted; ++k) best[token_text(l->top[k].token)] = as_number(l->top[k].logprob);
    }
    top.push_back(std::move(best));
    offsets.push_back(offset);
    offset += count_characters(text);
  };
  if (request_.echo) {
    const std::vector<TokenLogprobs>& of_prompt = results_[prompt].logprobs;
    for (size_t i = 0; i < prompts_[prompt].size(); ++i) {
      add(prompts_[prompt][i], i > 0 && i <= of_prompt.size() ? &of_prompt[i - 1] : nullptr);
    }
  }
  for (size_t i = 0; i < choice.tokens.size(); ++i) add(choice.tokens[i], &choice.logprobs.at(i));
  return {{"tokens", tokens}, {"token_logprobs", values}, {"top_logprobs", top}, {"text_offset", offsets}};
}

Json OpenAiResponse::chat_logprobs(const Choice& choice) const {
  if (request_.sampling.logprobs < 0) return nullptr;
  const auto entry = [&](int32_t token, float logprob) -> Json {
    const std::string text = token_text(token);
    return {{"token", text}, {"logprob", as_number(logprob)}, {"bytes", bytes_of(text)}};
  };
  Json content = Json::array();
  for (size_t i = 0; i < choice.tokens.size(); ++i) {
    const TokenLogprobs& l = choice.logprobs.at(i);
    Json one = entry(choice.tokens[i], l.logprob);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& t : l.top) one["top_logprobs"].push_back(entry(t.token, t.logprob));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}};
}

// As vLLM has it: for each token of the prompt what could have stood there, by id; null for the first.
Json OpenAiResponse::prompt_logprobs(size_t prompt) const {
  Json all = Json::array({nullptr});
  const std::vector<TokenLogprobs>& logprobs = results_[prompt].logprobs;
  for (size_t i = 0; i < logprobs.size(); ++i) {
    Json here = Json::object();
    const auto add = [&](int32_t token, float logprob) {
      here[std::to_string(token)] = {{"logprob", as_number(logprob)}, {"decoded_token", token_text(token)}};
    };
    add(prompts_[prompt][i + 1], logprobs[i].logprob);
    for (const TokenLogprob& t : logprobs[i].top) add(t.token, t.logprob);
    all.push_back(std::move(here));
  }
  return all;
}

Json OpenAiResponse::completion_choice(size_t prompt, const Choice& choice) const {
  return {{"text", request_.echo ? prompt_text(prompt) + choice.text : choice.text},
          {"logprobs", completion_logprobs(prompt, choice)},
          {"finish_reason", finish_reason(choice.finish)}};
}

Json OpenAiResponse::chat_choice(const Choice& choice) const {
  return {{"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
          {"logprobs", chat_logprobs(choice)},
          {"finish_reason", finish_reason(choice.finish)}};
}

Json OpenAiResponse::body(const std::string& id, int64_t created, const std::string& model) const {
  const bool chat = request_.endpoint == Endpoint::kChatCompletions;
  Json choices = Json::array();
  for (size_t p = 0; p < results_.size(); ++p) {
    for (const Choice& choice : results_[p].choices) {
      Json one = {{"index", choices.size()}};
      one.update(chat ? chat_choice(choice) : completion_choice(p, choice));
      if (request_.sampling.prompt_logprobs >= 0 && !request_.echo) one["prompt_logprobs"] = prompt_logprobs(p);
      if (request_.return_token_ids) one["prompt_token_ids"] = prompts_[p];
      if (request_.return_token_ids || tokenizer_ == nullptr) one["token_ids"] = choice.tokens;
      choices.push_back(std::move(one));
    }
  }
  return {{"id", id},
          {"object", chat ? "chat.completion" : "text_completion"},
          {"created", created},
          {"model", model},
          {"choices", std::move(choices)},
          {"usage",
           {{"prompt_tokens", prompt_tokens()},
            {"completion_tokens", completion_tokens_},
            {"total_tokens", prompt_tokens() + completion_tokens_}}}};
}

}  // namespace lockstep
