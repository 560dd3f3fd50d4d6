// Calls of tools in what models write.
#include "openai/tool_calls.h"

#include <gtest/gtest.h>

#include <random>

namespace lockstep {
namespace {

struct Parsed {
  std::string content;
  std::vector<ToolCall> calls;
};

// Fed in pieces of random lengths.
Parsed parse(ToolFormat format, std::string_view text, unsigned seed) {
  std::mt19937 random(seed);
  ToolCallParser parser(format);
  Parsed out;
  while (!text.empty()) {
    const size_t length = std::min<size_t>(text.size(), 1 + random() % (seed == 0 ? 10000 : 7));
    out.content += parser.push(text.substr(0, length));
    text.remove_prefix(length);
    for (ToolCall& call : parser.take_calls()) out.calls.push_back(std::move(call));
  }
  out.content += parser.finish();
  for (ToolCall& call : parser.take_calls()) out.calls.push_back(std::move(call));
  return out;
}

struct Case {
  ToolFormat format;
  std::string text, content;
  std::vector<std::pair<std::string, std::string>> calls;
};

TEST(ToolCalls, AreFoundHoweverTheTextIsCut) {
  const auto hermes = ToolFormat::kHermes;
  const auto llama = ToolFormat::kLlama3Json;
  const auto mistral = ToolFormat::kMistral;
  const std::vector<Case> cases = {
      {ToolFormat::kNone, "<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>", {}},
      {hermes, "Hello < world\n ", "Hello < world\n ", {}},
      {hermes,
       "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"x</y>\"}}\n</tool_call>",
       "",
       {{"f", R"({"b":1,"a":"x</y>"})"}}},
      {hermes,
       "I look.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"g\"}</tool_call>\n",
       "I look.",
       {{"f", "{}"}, {"g", "{}"}}},
      {hermes, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":2}\"}", "", {{"f", R"({"a":2})"}}},  // the end came early
      {hermes, "<tool_call>{\"name\": </tool_call> x", "<tool_call>{\"name\": </tool_call> x", {}},
      {hermes, "<tool_call>[1]</tool_call>", "<tool_call>[1]</tool_call>", {}},
      {hermes, "a <tool_cal", "a <tool_cal", {}},
      {llama, "{\"name\": \"f\", \"parameters\": {\"x\": \"}\\\"{\"}}", "", {{"f", R"({"x":"}\"{"})"}}},
      {llama,
       "<|python_tag|>{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"parameters\":{\"y\":[1]}}",
       "",
       {{"f", "{}"}, {"g", R"({"y":[1]})"}}},
      {llama, "{\"a\": 1}", "{\"a\": 1}", {}},
      {llama, "Text {\"name\":\"f\",\"parameters\":{}}", "Text {\"name\":\"f\",\"parameters\":{}}", {}},
      {llama, "{\"name\":\"f\",\"parameters\":", "{\"name\":\"f\",\"parameters\":", {}},
      {mistral,
       "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\":\"g\",\"arguments\":{}}]",
       "",
       {{"f", R"({"a":1})"}, {"g", "{}"}}},
      {mistral,
       "Well. [TOOL_CALLS]f[CALL_ID]123456789[ARGS]{\"a\": 1}[TOOL_CALLS]g{}",
       "Well.",
       {{"f", R"({"a":1})"}, {"g", "{}"}}},
      {mistral, "[TOOL_CALLS] none", "[TOOL_CALLS] none", {}},
      {mistral, "[TOOL", "[TOOL", {}},
  };
  for (const Case& c : cases) {
    for (unsigned seed = 0; seed < 30; ++seed) {
      const Parsed parsed = parse(c.format, c.text, seed);
      ASSERT_EQ(parsed.content, c.content) << c.text;
      ASSERT_EQ(parsed.calls.size(), c.calls.size()) << c.text;
      for (size_t i = 0; i < c.calls.size(); ++i) {
        EXPECT_EQ(parsed.calls[i].name, c.calls[i].first) << c.text;
        EXPECT_EQ(parsed.calls[i].arguments, c.calls[i].second) << c.text;
      }
    }
  }
}

TEST(ToolCalls, TheTemplateTellsTheForm) {
  EXPECT_EQ(find_tool_format("... <tool_call>\n{{ call|tojson }}\n</tool_call>"), ToolFormat::kHermes);
  EXPECT_EQ(find_tool_format("{{ '[TOOL_CALLS] [' }}"), ToolFormat::kMistral);
  EXPECT_EQ(find_tool_format("<|start_header_id|> {{- '\"parameters\": ' }}"), ToolFormat::kLlama3Json);
  EXPECT_EQ(find_tool_format("<tool_call>\n<function=f>"), ToolFormat::kNone);
  EXPECT_EQ(find_tool_format("<|im_start|>"), ToolFormat::kNone);
}

}  // namespace
}  // namespace lockstep
