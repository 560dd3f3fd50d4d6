// Requests of OpenAI's API: what is taken, and what is refused.
#include "openai/request.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

OpenAiRequest parse(const std::string& text, Endpoint endpoint) {
  return parse_openai_request(parse_request_json(text), endpoint);
}
OpenAiRequest chat(const std::string& fields) {
  return parse(R"({"messages": [{"role": "user", "content": "Hi"}])" + (fields.empty() ? "" : ", " + fields) + "}",
               Endpoint::kChatCompletions);
}
OpenAiRequest completion(const std::string& fields) {
  return parse(R"({"prompt": "Hi")" + (fields.empty() ? "" : ", " + fields) + "}", Endpoint::kCompletions);
}

template <typename Make>
std::string refusal(const Make& make) {
  try {
    make();
  } catch (const RequestError& error) {
    return error.param() + "|" + error.what();
  }
  return {};
}

TEST(OpenAiRequest, ReadsEveryParameter) {
  const OpenAiRequest r = chat(
      R"("model": "m", "max_completion_tokens": 7, "min_tokens": 2, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1,
         "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.5, "seed": -3, "stop": ["a", "b"], "n": 3,
         "stop_token_ids": [5], "logit_bias": {"7": -100}, "ignore_eos": true, "logprobs": true, "top_logprobs": 2, "stream": true,
         "stream_options": {"include_usage": true, "continuous_usage_stats": true}, "priority": 3, "cache_salt": "s", "user": "u",
         "tools": [{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2}}}], "tool_choice": "auto",
         "parallel_tool_calls": false, "chat_template_kwargs": {"enable_thinking": false}, "documents": [{"text": "d"}])");
  EXPECT_EQ(r.model, "m");
  EXPECT_EQ(r.sampling.max_tokens, 7);
  EXPECT_TRUE(r.limits_tokens);
  EXPECT_EQ(r.sampling.min_tokens, 2);
  EXPECT_FLOAT_EQ(r.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(r.sampling.top_p, 0.9f);
  EXPECT_EQ(r.sampling.top_k, 4);
  EXPECT_EQ(r.sampling.n, 3);
  EXPECT_EQ(r.sampling.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(r.sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.sampling.stop_token_ids, (std::vector<int32_t>{5}));
  ASSERT_EQ(r.sampling.logit_bias.size(), 1u);
  EXPECT_EQ(r.sampling.logit_bias[0].first, 7);
  EXPECT_TRUE(r.sampling.ignore_eos);
  EXPECT_EQ(r.sampling.logprobs, 2);
  EXPECT_TRUE(r.stream && r.include_usage && r.continuous_usage);
  EXPECT_EQ(r.options.priority, -3);
  EXPECT_EQ(r.options.cache_salt, "s");
  EXPECT_TRUE(r.has_tools);
  EXPECT_FALSE(r.parallel_tool_calls);
  // Templates write tools out: the order of the keys must be that of the client.
  EXPECT_EQ(r.chat.tools.dump(), R"([{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}])");
  EXPECT_EQ(r.chat.template_kwargs.dump(), R"({"enable_thinking":false})");
  EXPECT_EQ(r.chat.documents.size(), 1u);
  EXPECT_TRUE(r.chat.add_generation_prompt);
  const OpenAiRequest none = chat(R"("tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none")");
  EXPECT_FALSE(none.has_tools);
  EXPECT_TRUE(none.chat.tools.is_null());
  const OpenAiRequest on = chat(R"("continue_final_message": true)");
  EXPECT_EQ(on.chat.continue_final_message, "content");
  EXPECT_FALSE(on.chat.add_generation_prompt);
}

TEST(OpenAiRequest, ForcesCallsOfTools) {
  const auto form = [](const std::string& fields) { return chat(fields).sampling.grammar; };
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], )";
  EXPECT_EQ(form(tools + R"("tool_choice": {"type": "function", "function": {"name": "f"}})"),
            (GrammarSpec{GrammarKind::kJsonSchema, R"({"type":"object"})"}));
  EXPECT_EQ(form(tools + R"("tool_choice": "required")").kind, GrammarKind::kJsonSchema);
  for (const std::string& wrong : {std::string(R"("tool_choice": "required")"),
                                   tools + R"("tool_choice": {"type": "function", "function": {"name": "g"}})"}) {
    EXPECT_FALSE(refusal([&] { chat(wrong); }).empty()) << wrong;
  }
}

TEST(OpenAiRequest, PreparesMessagesForTemplates) {
  const OpenAiRequest r = parse(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"y\": 1, \"x\": [2]}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "3"}, {"role": "assistant", "tool_calls": []}]})",
                                Endpoint::kChatCompletions);
  const auto& messages = r.chat.messages;
  EXPECT_EQ(messages[0]["content"].dump(), R"([{"type":"text","text":"a"}])");
  EXPECT_EQ(messages[1]["content"], "");
  EXPECT_EQ(messages[1]["tool_calls"][0]["function"]["arguments"].dump(), R"({"y":1,"x":[2]})");
  EXPECT_EQ(messages[2]["tool_call_id"], "1");
  EXPECT_FALSE(messages[3].contains("tool_calls"));
}

TEST(OpenAiRequest, ReadsPromptsOfEveryKind) {
  EXPECT_EQ(completion("").sampling.max_tokens, 16);
  EXPECT_EQ(parse(R"({"prompt": [1, 2]})", Endpoint::kCompletions).prompts.size(), 1u);
  EXPECT_EQ(parse(R"({"prompt": [[1], [2, 3]]})", Endpoint::kCompletions).prompts.size(), 2u);
  EXPECT_EQ(parse(R"({"prompt": ["a", "b"]})", Endpoint::kCompletions).prompts.size(), 2u);
  const OpenAiRequest echo = completion(R"("echo": true, "max_tokens": 0, "logprobs": 1)");
  EXPECT_TRUE(echo.no_completion);
  EXPECT_EQ(echo.sampling.max_tokens, 1);
  EXPECT_EQ(echo.sampling.prompt_logprobs, 1);
}

TEST(OpenAiRequest, NamesWhatItRefuses) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("temperature": "hot")", "temperature"},
      {R"("temperature": -1)", "temperature"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": 1.5)", "max_tokens"},
      {R"("max_tokens": 99999999999999999999)", "max_tokens"},
      {R"("n": 1000)", "n"},
      {R"("top_p": 0)", "top_p"},
      {R"("stop": [""])", "stop"},
      {R"("stop": 3)", "stop"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"1": 1000})", "logit_bias"},
      {R"("top_logprobs": 2)", "top_logprobs"},
      {R"("logprobs": true, "top_logprobs": 50)", "top_logprobs"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("tools": [3])", "tools"},
      {R"("tools": [{"type": "function", "function": {}}])", "tools"},
      {R"("tool_choice": "x")", "tool_choice"},
      {R"("functions": [{}])", "functions"},
      {R"("bogus": 1)", "bogus"},
      {R"("seed": 1.5)", "seed"},
      {R"("messages": [])", ""},
      {R"("chat_template_kwargs": [])", "chat_template_kwargs"},
      {R"("documents": [1])", "documents"},
      {R"("add_generation_prompt": true, "continue_final_message": true)", "continue_final_message"},
      {R"("min_tokens": 3, "max_tokens": 2)", "min_tokens"}};
  for (const auto& [fields, param] : wrong) {
    const std::string said = refusal([&] { chat(fields); });
    EXPECT_FALSE(said.empty()) << fields;
    EXPECT_TRUE(said.starts_with(param + "|")) << fields << ": " << said;
  }
  for (const char* messages : {"null", "3", "[]", "[3]", "[{}]", R"([{"role": 3}])", R"([{"role": "user", "content": 3}])",
                               R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])",
                               R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}])"}) {
    EXPECT_TRUE(refusal([&] {
                  parse(fmt::format(R"({{"messages": {}}})", messages), Endpoint::kChatCompletions);
                }).starts_with("messages|"))
        << messages;
  }
  for (const char* prompt : {"null", "3", "[]", "[[]]", "[-1]", "[1, \"a\"]", "[1.5]", "{}", "[3000000000]"}) {
    EXPECT_TRUE(
        refusal([&] { parse(fmt::format(R"({{"prompt": {}}})", prompt), Endpoint::kCompletions); }).starts_with("prompt|"))
        << prompt;
  }
}

TEST(RequestJson, HasLimits) {
  for (const std::string& text : {std::string("{"), std::string(), std::string("{\"a\": 1e999}"), std::string("\"\xFF\""),
                                  std::string("{\"a\": 1, \"a\": 2}"), std::string(100000, '['), std::string("\"\\ud800\""),
                                  std::string("{} {}"), std::string("nul")}) {
    EXPECT_FALSE(refusal([&] { parse_request_json(text); }).empty()) << text.substr(0, 50);
  }
  std::string many = "{\"k\": 0";  // one object of many keys: no more than linear work
  for (int i = 0; i < 200000; ++i) many += fmt::format(",\"{}\":0", i);
  EXPECT_EQ(parse_request_json(many + "}").size(), 200001u);
}

}  // namespace
}  // namespace lockstep
