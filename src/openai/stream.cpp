#include "openai/stream.h"

#include <utility>

namespace lockstep {

using Json = nlohmann::ordered_json;

OpenAiStream::OpenAiStream(OpenAiRequest request, std::vector<std::vector<int32_t>> prompts, const Tokenizer* tokenizer,
                           ResponseHead head, bool tells_cached)
    : request_(std::move(request)),
      prompts_(std::move(prompts)),
      tokenizer_(tokenizer),
      style_(tokenizer, request_.sampling.logprobs),
      head_(std::move(head)),
      tells_cached_(tells_cached),
      choices_(prompts_.size() * static_cast<size_t>(request_.sampling.n)),
      prompt_logprobs_(prompts_.size()),
      num_running_(static_cast<int64_t>(choices_.size())) {
  for (Choice& choice : choices_) choice.tools = make_tool_parser(request_);
  for (const std::vector<int32_t>& prompt : prompts_) usage_.prompt_tokens += static_cast<int64_t>(prompt.size());
  usage_.cached_tokens = 0;
}

TokenUsage OpenAiStream::usage() const { return usage_; }

Json OpenAiStream::part(Json choices) const {
  const bool chat = request_.endpoint == Endpoint::kChatCompletions;
  Json out = {{"id", head_.id},
              {"object", chat ? "chat.completion.chunk" : "text_completion"},
              {"created", head_.created},
              {"model", head_.model},
              {"choices", std::move(choices)}};
  if (request_.include_usage || request_.continuous_usage) {
    TokenUsage told = usage_;
    if (!tells_cached_) told.cached_tokens = -1;
    out["usage"] = out["choices"].empty() || request_.continuous_usage ? told.json() : Json();
  }
  return out;
}

Json OpenAiStream::choice_head(size_t prompt, size_t index) const {
  Json one = {{"index", index}};
  if (choices_[index].begun) return one;
  if (request_.sampling.prompt_logprobs >= 0 && !request_.echo)
    one["prompt_logprobs"] = style_.prompt(prompts_[prompt], prompt_logprobs_[prompt]);
  if (request_.return_token_ids) one["prompt_token_ids"] = prompts_[prompt];
  return one;
}

void OpenAiStream::add(size_t prompt, const SequenceOutput& output, std::vector<Json>& parts) {
  const size_t index = prompt * static_cast<size_t>(request_.sampling.n) + static_cast<size_t>(output.index);
  Choice& choice = choices_.at(index);
  if (!output.prompt_logprobs.empty()) prompt_logprobs_[prompt] = output.prompt_logprobs;
  if (output.token >= 0 && !request_.no_completion) {
    if (!choice.begun && output.index == 0) usage_.cached_tokens += output.num_cached_tokens;
    ++usage_.completion_tokens;
    choice.tokens.push_back(output.token);
    if (output.logprobs) choice.logprobs.push_back(*output.logprobs);
  }
  if (output.finish != FinishReason::kNone) --num_running_;
  if (request_.endpoint == Endpoint::kChatCompletions) {
    add_chat(choice, index, output, parts);
  } else {
    add_completion(choice, prompt, index, output, parts);
  }
}

void OpenAiStream::add_completion(Choice& choice, size_t prompt, size_t index, const SequenceOutput& output,
                                  std::vector<Json>& parts) {
  const bool ends = output.finish != FinishReason::kNone;
  const bool tells_tokens = request_.return_token_ids || tokenizer_ == nullptr;
  std::string text = request_.no_completion ? std::string() : output.text;
  const bool echoes = request_.echo && !choice.begun;
  if (text.empty() && !ends && !echoes && tokenizer_ != nullptr) return;
  Json one = choice_head(prompt, index);
  if (echoes) text = echoed_prompt(request_, prompt, prompts_[prompt], tokenizer_) + text;
  one["text"] = text;
  one["logprobs"] = nullptr;
  if (request_.sampling.logprobs >= 0) {
    CompletionLogprobs all(style_, choice.offset);
    if (echoes) {
      const std::vector<TokenLogprobs>& known = prompt_logprobs_[prompt];
      for (size_t i = 0; i < prompts_[prompt].size(); ++i) {
        all.add(prompts_[prompt][i], i > 0 && i <= known.size() ? &known[i - 1] : nullptr);
      }
    }
    for (size_t i = 0; i < choice.tokens.size(); ++i) all.add(choice.tokens[i], &choice.logprobs.at(i));
    one["logprobs"] = all.take();
  }
  if (tells_tokens) one["token_ids"] = choice.tokens;
  one["finish_reason"] = finish_reason(output.finish);
  choice.tokens.clear();
  choice.logprobs.clear();
  choice.begun = true;
  parts.push_back(part(Json::array({std::move(one)})));
}

Json OpenAiStream::take_chat_logprobs(Choice& choice) const {
  if (request_.sampling.logprobs < 0) return nullptr;
  Json content = Json::array();
  for (size_t i = 0; i < choice.tokens.size(); ++i) content.push_back(style_.chat_entry(choice.tokens[i], choice.logprobs.at(i)));
  return {{"content", std::move(content)}};
}

void OpenAiStream::add_chat(Choice& choice, size_t index, const SequenceOutput& output, std::vector<Json>& parts) {
  const bool tells_tokens = request_.return_token_ids || tokenizer_ == nullptr;
  const auto put = [&](Json delta, const Json& reason) {
    Json one = choice_head(index / static_cast<size_t>(request_.sampling.n), index);
    one["delta"] = std::move(delta);
    one["logprobs"] = nullptr;
    if (choice.begun) {
      one["logprobs"] = take_chat_logprobs(choice);
      if (tells_tokens) one["token_ids"] = choice.tokens;
      choice.tokens.clear();
      choice.logprobs.clear();
    }
    one["finish_reason"] = reason;
    choice.begun = true;
    parts.push_back(part(Json::array({std::move(one)})));
  };
  if (!choice.begun) put({{"role", "assistant"}, {"content", ""}}, nullptr);
  const bool ends = output.finish != FinishReason::kNone;
  std::string text = choice.tools.push(output.text);
  if (ends) text += choice.tools.finish();
  if (!text.empty()) put({{"content", text}}, nullptr);
  std::vector<ToolCall> calls = choice.tools.take_calls();
  if (!request_.parallel_tool_calls) calls.resize(std::min(calls.size(), choice.num_calls == 0 ? size_t{1} : size_t{0}));
  if (!calls.empty()) {
    put({{"tool_calls", tool_calls_json(calls, request_.tool_format, head_.id, index, choice.num_calls)}}, nullptr);
    choice.num_calls += calls.size();
  }
  if (!ends) return;
  const bool called = choice.num_calls > 0 && output.finish == FinishReason::kStop;
  put(Json::object(), called ? Json("tool_calls") : finish_reason(output.finish));
}

void OpenAiStream::finish(std::vector<Json>& parts) const {
  if (request_.include_usage) parts.push_back(part(Json::array()));
}

}  // namespace lockstep
