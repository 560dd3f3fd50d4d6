// Answers, at once and streamed, from what an engine gives: the two must tell the same.
#include "openai/stream.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

SequenceOutput output(int32_t index, int32_t token, const std::string& text, FinishReason finish = FinishReason::kNone) {
  SequenceOutput out;
  out.index = index;
  out.token = token;
  out.text = text;
  out.finish = finish;
  out.num_cached_tokens = 2;
  return out;
}

OpenAiRequest chat(const std::string& more) {
  return parse_openai_request(
      parse_request_json(R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true)" + more + "}"),
      Endpoint::kChatCompletions);
}

struct Answers {
  Json whole;
  std::vector<Json> parts;
};

Answers run(OpenAiRequest request, const std::vector<SequenceOutput>& outputs) {
  const ResponseHead head = {"chatcmpl-1", 17, "m"};
  OpenAiResponse response(request, {{1, 2, 3}}, nullptr);
  OpenAiStream stream(request, {{1, 2, 3}}, nullptr, head, true);
  Answers answers;
  for (const SequenceOutput& out : outputs) {
    response.add(0, out);
    stream.add(0, out, answers.parts);
  }
  EXPECT_TRUE(response.done());
  EXPECT_TRUE(stream.done());
  stream.finish(answers.parts);
  answers.whole = response.body(head, true);
  return answers;
}

TEST(OpenAiStream, TellsWhatTheWholeAnswerTells) {
  const Answers a = run(chat(R"(, "n": 2, "stream_options": {"include_usage": true})"),
                        {output(0, 5, "Hel"), output(1, 6, ""), output(0, 7, "lo", FinishReason::kStop),
                         output(1, 8, "Yes", FinishReason::kLength)});
  std::vector<std::string> text(2), finish(2);
  for (size_t i = 0; i + 1 < a.parts.size(); ++i) {
    const Json& part = a.parts[i];
    EXPECT_EQ(part["object"], "chat.completion.chunk");
    EXPECT_EQ(part["id"], "chatcmpl-1");
    EXPECT_TRUE(part["usage"].is_null());
    const Json& choice = part["choices"][0];
    const size_t index = choice["index"].get<size_t>();
    text[index] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) finish[index] = choice["finish_reason"].get<std::string>();
  }
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(a.whole["choices"][i]["message"]["content"], text[i]);
    EXPECT_EQ(a.whole["choices"][i]["finish_reason"], finish[i]);
  }
  EXPECT_EQ(text[0], "Hello");
  EXPECT_EQ(a.parts.back()["usage"], a.whole["usage"]);
  EXPECT_TRUE(a.parts.back()["choices"].empty());
  EXPECT_EQ(a.whole["usage"].dump(),
            R"({"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2}})");
}

TEST(OpenAiStream, HandsOutCallsOfTools) {
  for (const bool parallel : {true, false}) {
    OpenAiRequest request = chat(
        fmt::format(R"(, "tools": [{{"type": "function", "function": {{"name": "f"}}}}], "parallel_tool_calls": {})", parallel));
    request.tool_format = ToolFormat::kHermes;
    const Answers a =
        run(request, {output(0, 1, "Look: <tool_"), output(0, 2, "call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool"),
                      output(0, 3, "_call>\n<tool_call>{\"name\": \"g\"}</tool_call>", FinishReason::kStop)});
    const Json& message = a.whole["choices"][0]["message"];
    EXPECT_EQ(message["content"], "Look:");
    EXPECT_EQ(a.whole["choices"][0]["finish_reason"], "tool_calls");
    const Json& calls = message["tool_calls"];
    ASSERT_EQ(calls.size(), parallel ? 2u : 1u);
    EXPECT_EQ(calls[0]["function"].dump(), R"({"name":"f","arguments":"{\"x\":1}"})");
    Json streamed = Json::array();
    for (const Json& part : a.parts) {
      const Json& choice = part["choices"][0];
      if (choice["delta"].contains("tool_calls")) {
        for (const Json& call : choice["delta"]["tool_calls"]) {
          EXPECT_EQ(call["index"], streamed.size());
          streamed.push_back(call);
          streamed.back().erase("index");
        }
      }
    }
    EXPECT_EQ(streamed, calls);
    EXPECT_EQ(a.parts.back()["choices"][0]["finish_reason"], "tool_calls");
  }
  for (const bool named : {true, false}) {  // tool_choice leaves nothing but calls
    OpenAiRequest request = chat("");
    request.forces_call = true;
    if (named) request.forced_tool = "f";
    const std::string text = named ? R"({"x": 1})" : R"([{"name": "f", "parameters": {"x": 1}}])";
    const Answers a = run(request, {output(0, 1, text.substr(0, 5)), output(0, 2, text.substr(5), FinishReason::kStop)});
    const Json& message = a.whole["choices"][0]["message"];
    EXPECT_TRUE(message["content"].is_null());
    EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "f");
    EXPECT_EQ(Json::parse(message["tool_calls"][0]["function"]["arguments"].get<std::string>()), Json({{"x", 1}}));
    EXPECT_EQ(a.whole["choices"][0]["finish_reason"], "tool_calls");
  }
  // Mistral's templates take ids of nine letters and digits only.
  EXPECT_EQ(tool_calls_json({{"f", "{}"}}, ToolFormat::kMistral, "x", 0, 0)[0]["id"].get<std::string>().size(), 9u);
}

}  // namespace
}  // namespace lockstep
