#include "openai/response.h"

#include <algorithm>

#include "kernels/random.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

// Letters and digits that depend on `text` alone.
std::string letters_of(const std::string& text, size_t count) {
  constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  uint64_t state = 0;
  for (const char c : text) state = mix64(state ^ static_cast<unsigned char>(c));
  std::string out;
  for (; out.size() < count; state = mix64(state + 1)) out += kLetters[state % kLetters.size()];
  return out;
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

Json TokenUsage::json() const {
  Json usage = {{"prompt_tokens", prompt_tokens},
                {"completion_tokens", completion_tokens},
                {"total_tokens", prompt_tokens + completion_tokens}};
  if (cached_tokens >= 0) usage["prompt_tokens_details"] = {{"cached_tokens", cached_tokens}};
  return usage;
}

std::string echoed_prompt(const OpenAiRequest& request, size_t prompt, const std::vector<int32_t>& tokens,
                          const Tokenizer* tokenizer) {
  if (const auto* text = std::get_if<std::string>(&request.prompts.at(prompt))) return *text;
  return tokenizer != nullptr ? tokenizer->decode(tokens, /*skip_special_tokens=*/false) : std::string();
}

Json tool_calls_json(const std::vector<ToolCall>& calls, ToolFormat format, const std::string& answer_id, size_t choice,
                     size_t first_number) {
  constexpr size_t kMistralIdLength = 9;  // its templates refuse others
  Json list = Json::array();
  for (const ToolCall& call : calls) {
    const size_t number = first_number + list.size();
    const std::string source = fmt::format("{} {} {}", answer_id, choice, number);
    const std::string id =
        format == ToolFormat::kMistral ? letters_of(source, kMistralIdLength) : "call_" + letters_of(source, 24);
    list.push_back({{"index", number},
                    {"id", id},
                    {"type", "function"},
                    {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return list;
}

ToolCallParser make_tool_parser(const OpenAiRequest& request) {
  return request.forces_call ? ToolCallParser::forced(request.forced_tool) : ToolCallParser(request.tool_format);
}

OpenAiResponse::OpenAiResponse(OpenAiRequest request, std::vector<std::vector<int32_t>> prompts, const Tokenizer* tokenizer)
    : request_(std::move(request)),
      prompts_(std::move(prompts)),
      tokenizer_(tokenizer),
      style_(tokenizer, request_.sampling.logprobs),
      results_(prompts_.size()) {
  for (Prompt& prompt : results_) prompt.choices.resize(static_cast<size_t>(request_.sampling.n));
  num_running_ = static_cast<int64_t>(prompts_.size()) * request_.sampling.n;
}

void OpenAiResponse::add(size_t prompt, const SequenceOutput& output) {
  Prompt& result = results_.at(prompt);
  Choice& choice = result.choices.at(static_cast<size_t>(output.index));
  has_output_ = true;
  if (!request_.no_completion) {
    if (output.token >= 0) {
      if (choice.tokens.empty() && output.index == 0) cached_tokens_ += output.num_cached_tokens;
      choice.tokens.push_back(output.token);
      ++completion_tokens_;
    }
    choice.text += output.text;
    if (output.logprobs) choice.logprobs.push_back(*output.logprobs);
  }
  if (!output.prompt_logprobs.empty()) result.logprobs = output.prompt_logprobs;
  choice.finish = output.finish;
  if (output.finish != FinishReason::kNone) --num_running_;
}

int64_t OpenAiResponse::prompt_tokens() const {
  int64_t total = 0;
  for (const std::vector<int32_t>& prompt : prompts_) total += static_cast<int64_t>(prompt.size());
  return total;
}

Json OpenAiResponse::completion_logprobs(size_t prompt, const Choice& choice) const {
  if (request_.sampling.logprobs < 0) return nullptr;
  int64_t offset = 0;
  CompletionLogprobs all(style_, offset);
  if (request_.echo) {
    const std::vector<TokenLogprobs>& of_prompt = results_[prompt].logprobs;
    for (size_t i = 0; i < prompts_[prompt].size(); ++i) {
      all.add(prompts_[prompt][i], i > 0 && i <= of_prompt.size() ? &of_prompt[i - 1] : nullptr);
    }
  }
  for (size_t i = 0; i < choice.tokens.size(); ++i) all.add(choice.tokens[i], &choice.logprobs.at(i));
  return all.take();
}

Json OpenAiResponse::chat_logprobs(const Choice& choice) const {
  if (request_.sampling.logprobs < 0) return nullptr;
  Json content = Json::array();
  for (size_t i = 0; i < choice.tokens.size(); ++i) content.push_back(style_.chat_entry(choice.tokens[i], choice.logprobs.at(i)));
  return {{"content", std::move(content)}};
}

Json OpenAiResponse::completion_choice(size_t prompt, const Choice& choice) const {
  const std::string before = request_.echo ? echoed_prompt(request_, prompt, prompts_[prompt], tokenizer_) : std::string();
  return {{"text", before + choice.text},
          {"logprobs", completion_logprobs(prompt, choice)},
          {"finish_reason", finish_reason(choice.finish)}};
}

Json OpenAiResponse::chat_choice(const Choice& choice, const std::string& id, size_t index) const {
  Json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  Json finish = finish_reason(choice.finish);
  if (request_.tool_format != ToolFormat::kNone || request_.forces_call) {
    ToolCallParser parser = make_tool_parser(request_);
    std::string content = parser.push(choice.text);
    content += parser.finish();
    std::vector<ToolCall> calls = parser.take_calls();
    if (!request_.parallel_tool_calls && calls.size() > 1) calls.resize(1);
    if (!calls.empty()) {
      message["content"] = content.empty() ? Json() : Json(content);
      message["tool_calls"] = tool_calls_json(calls, request_.tool_format, id, index, 0);
      for (Json& call : message["tool_calls"]) call.erase("index");  // only parts of a stream have it
      if (choice.finish == FinishReason::kStop) finish = "tool_calls";
    }
  }
  return {{"message", std::move(message)}, {"logprobs", chat_logprobs(choice)}, {"finish_reason", finish}};
}

Json OpenAiResponse::body(const ResponseHead& head, bool tells_cached) const {
  const bool chat = request_.endpoint == Endpoint::kChatCompletions;
  Json choices = Json::array();
  for (size_t p = 0; p < results_.size(); ++p) {
    for (const Choice& choice : results_[p].choices) {
      const size_t index = choices.size();
      Json one = {{"index", index}};
      one.update(chat ? chat_choice(choice, head.id, index) : completion_choice(p, choice));
      if (request_.sampling.prompt_logprobs >= 0 && !request_.echo)
        one["prompt_logprobs"] = style_.prompt(prompts_[p], results_[p].logprobs);
      if (request_.return_token_ids) one["prompt_token_ids"] = prompts_[p];
      if (request_.return_token_ids || tokenizer_ == nullptr) one["token_ids"] = choice.tokens;
      choices.push_back(std::move(one));
    }
  }
  const TokenUsage usage = {prompt_tokens(), completion_tokens_, tells_cached ? cached_tokens_ : -1};
  return {{"id", head.id},
          {"object", chat ? "chat.completion" : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)},
          {"usage", usage.json()}};
}

}  // namespace lockstep
