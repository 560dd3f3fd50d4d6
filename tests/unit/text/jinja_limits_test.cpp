// What a hostile chat template can do to the time, memory and stack of the process: nothing but be refused.
#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"
#include "text/jinja/jinja.h"

namespace lockstep::text {
namespace {

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

std::string render(const std::string& source, const JinjaLimits& limits = {}) {
  static const JinjaValue variables =
      JinjaValue::parse(R"({"messages": [{"role": "user", "content": "aé世"}], "s": "aaaaaaaa"})");
  return JinjaTemplate(source, "FILE").render(variables, limits);
}

// Under the address sanitizer, which marks every byte that is copied, some take minutes.
#ifdef __SANITIZE_ADDRESS__
constexpr std::chrono::seconds kSoon{600};
#else
constexpr std::chrono::seconds kSoon{60};
#endif

// The message with which `source` is refused, in a few seconds.
std::string refusal(const std::string& source, const JinjaLimits& limits = {}) {
  const auto start = std::chrono::steady_clock::now();
  std::string message;
  try {
    render(source, limits);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, kSoon) << message;
  EXPECT_NE(message.find("FILE"), std::string::npos) << message;
  return message;
}

void expect_refusal(const std::string& source, const std::string& part, const JinjaLimits& limits = {}) {
  const std::string message = refusal(source, limits);
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

// A loop body that runs 10^n times.
std::string loops(int n, const std::string& body) {
  return repeated("{% for i in [0,1,2,3,4,5,6,7,8,9] %}", n) + body + repeated("{% endfor %}", n);
}

TEST(JinjaLimits, ChainsOfOperatorsDoNotDeepenTheStack) {
  for (const char* link : {"1+", "1*", "1 or ", "1 and ", "1 if 1 else "}) {
    EXPECT_NE(refusal("{{ " + repeated(link, 100'000) + "1 }}"), "") << link;
  }
  expect_refusal("{{ " + repeated("1+", 1000) + "1 }}", "levels");
  expect_refusal("{{ 1" + repeated(" if 1", 100'000) + " }}", "levels");
  // Each of these is within its own limit; their product would not be.
  std::string nested = "s";
  for (int i = 0; i < 40; ++i) nested = "(" + nested + repeated("|trim", 90) + ")";
  expect_refusal("{{ " + nested + " }}", "levels");
  EXPECT_EQ(render("{{ " + repeated("1+", 300) + "1 }}"), "301");
  EXPECT_EQ(render("{{ " + repeated("1~", 100'000) + "1 }}").size(), 100'001U);  // a flat list, however long
}

TEST(JinjaLimits, ValuesDoNotGrowOrDeepenWithoutBound) {
  const std::string space = "{% set n = namespace(x=[s]) %}";
  expect_refusal(space + loops(2, "{% set n.x = [n.x, n.x] %}"), "nested deeper");
  expect_refusal(space + loops(2, "{% set n.x = [n.x] %}"), "nested deeper");
  expect_refusal(space + loops(2, "{% set n.x = {'a': n.x} %}"), "nested deeper");
  expect_refusal(space + loops(2, "{% set n.x = n.x + n.x %}"), "grows");
  expect_refusal("{% set n = namespace(x=s) %}" + loops(2, "{% set n.x = n.x ~ n.x %}"), "too much text");
  expect_refusal("{% set n = namespace(x=s) %}" + loops(2, "{% set n.x = n.x|replace('a', n.x) %}"), "grows");
  expect_refusal("{% set n = namespace(x=s) %}" + loops(1, "{% set n.x = n.x + n.x + n.x + n.x %}") +
                     "{{ ('bb' ~ n.x ~ 'b').split('a')|join(n.x) }}",
                 "at a time");
}

TEST(JinjaLimits, OutputAndWorkAreBounded) {
  const std::string big = "{% set n = namespace(x=s) %}" + loops(1, "{% set n.x = n.x + n.x + n.x %}");  // 8 * 3^10 bytes
  const JinjaLimits limits = {.steps = 5'000'000, .bytes = 64 << 20};  // as the default, but sooner
  expect_refusal(big + loops(6, "{{ n.x }}"), "too much text", limits);
  expect_refusal(big + loops(6, "{% if n.x|length == 1 %}x{% endif %}"), "too much text", limits);
  expect_refusal(big + loops(6, "{% if 'ab' in n.x %}x{% endif %}"), "too much text", limits);
  expect_refusal(big + loops(6, "{% if n.x[5] == 'b' %}x{% endif %}"), "too much text", limits);
  expect_refusal(loops(7, ""), "too many steps");
  expect_refusal("{{ 'ab' * 100000000 }}", "67108864 bytes");
  expect_refusal("{{ [1] * 100000000 }}", "1048576 items");
  expect_refusal("{{ range(100001) }}", "100000");
  expect_refusal("{{ '%999999999d' % 1 }}{{ 'x'.center(999999999) }}", "1048576");
  expect_refusal("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "deeper than 1500");
  expect_refusal("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "deeper than 1500");
  expect_refusal("{% set n = namespace() %}{% set n.n = n %}{{ n }}", "holds itself");
  expect_refusal("{% set n = namespace(x=[]) %}" + loops(4, "{% set n.x = n.x + [s * 1000] %}"), "at a time",
                 {.live_bytes = 1 << 20});
  expect_refusal(std::string((1 << 20) + 1, 'x'), "has 1048577 bytes");
  EXPECT_THROW(render("12345", {.output_bytes = 4}), Error);
  EXPECT_EQ(render("1234", {.output_bytes = 4}), "1234");
}

TEST(JinjaLimits, ALongConversationStaysWellBelowThem) {
  JinjaValue variables = {{"messages", JinjaValue::array()}, {"add_generation_prompt", true}};
  for (int i = 0; i < 2000; ++i) {
    variables["messages"].push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", repeated("word ", 200)}});
  }
  const JinjaTemplate chat(
      "{%- for m in messages %}{%- if m.role != 'system' and messages[loop.index0 - 1].role is defined and messages|length > 1 %}"
      "{{- '<|im_start|>' + m.role + '\\n' + m.content|trim + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}",
      "FILE");
  EXPECT_EQ(chat.render(variables).size(), 2000 * (std::string("<|im_start|>\n<|im_end|>\n").size() + 999) + 1000 * 13);
}

TEST(JinjaLimits, TextsAreCutBetweenCharacters) {
  EXPECT_EQ(render("{{ messages[0].content[1] }}{{ messages[0].content[-1] }}{{ messages[0].content[5] }}"), "é世");
  EXPECT_EQ(render("{{ messages[0].content[1:] }} {{ messages[0].content[:-1] }} {{ messages[0].content[2:1] }}|"), "é世 aé |");
  EXPECT_EQ(render("{{ messages[0].content[::-1] }} {{ messages[0].content[::2] }}"), "世éa a世");
}

}  // namespace
}  // namespace lockstep::text
