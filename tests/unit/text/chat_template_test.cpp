// Chat templates must give the text that Jinja gives with the settings of transformers (scripts/golden/make_tokenizer_golden.py).
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include "support.h"
#include "text/jinja/jinja.h"
#include "text/tokenizer.h"

namespace lockstep {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::expect_mentions;

ChatTemplate load(const json& config) {
  testing::TemporaryDirectory directory;
  directory.write("tokenizer_config.json", config.dump());
  return ChatTemplate::load(directory.path());
}

TEST(ChatTemplate, RendersEveryStyleAsJinjaDoes) {
  const json golden = testing::read_json("chat_cases.json");
  for (const auto& [name, entry] : golden["templates"].items()) {
    const auto chat =
        load({{"chat_template", entry["source"]}, {"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}, {"special", true}}}});
    for (size_t i = 0; i < golden["conversations"].size(); ++i) {
      std::vector<ChatMessage> messages;
      for (const auto& m : golden["conversations"][i]) messages.push_back({m[0], m[1]});
      const json& expected = entry["rendered"][i];
      if (expected.is_null()) {
        expect_mentions(error_of([&] { chat.render(plain_chat(messages)); }), {"tokenizer_config.json", "refuses"});
      } else {
        EXPECT_EQ(chat.render(plain_chat(messages)), expected.get<std::string>()) << name << ", conversation " << i;
      }
    }
  }
}

TEST(ChatTemplate, FindsTheTemplate) {
  const std::string source = "<|im_start|>{{ messages[0].content }}";
  const ChatRequest messages = plain_chat({{"user", "Hi"}});
  EXPECT_EQ(load({{"chat_template", source}}).render(messages), "<|im_start|>Hi");
  const json named = {{{"name", "tool_use"}, {"template", "[INST]"}}, {{"name", "default"}, {"template", source}}};
  EXPECT_EQ(load({{"chat_template", named}}).render(messages), "<|im_start|>Hi");
  testing::TemporaryDirectory directory;
  directory.write("chat_template.jinja", source + "!\n");
  EXPECT_EQ(ChatTemplate::load(directory.path()).render(messages), "<|im_start|>Hi!");
  directory.write("tokenizer_config.json", R"({"chat_template": "[INST]"})");  // the file of its own wins
  EXPECT_EQ(ChatTemplate::load(directory.path()).render(messages), "<|im_start|>Hi!");
}

const ChatRequest kHello = plain_chat({{"user", "Hi"}});

TEST(ChatTemplate, RefusesWhatItDoesNotKnow) {
  testing::TemporaryDirectory empty;
  expect_mentions(error_of([&] { ChatTemplate::load(empty.path()); }), {"tokenizer_config.json"});
  expect_mentions(error_of([] { load(json::object()); }), {"no chat_template"});
  expect_mentions(error_of([] { load({{"chat_template", 3}}); }), {"chat_template", "number"});
  expect_mentions(error_of([] {
                    load({{"chat_template", {{{"name", "rag"}, {"template", "x"}}}}}).render(kHello);
                  }),
                  {"default", "rag"});
  expect_mentions(error_of([] { load({{"chat_template", "<|im_start|>\n{% include 'x' %}"}}); }), {"line 2", "include"});
  EXPECT_EQ(load({{"chat_template", "{% for m in messages %}### {{ m.role }}{% endfor %}"}}).render(kHello), "### user");
}

TEST(ChatTemplate, ChoosesAmongSeveralTemplatesAsTransformersDoes) {
  const ChatTemplate chat = load({{"chat_template",
                                   {{{"name", "default"}, {"template", "D{{ x }}"}},
                                    {{"name", "tool_use"}, {"template", "T{{ tools|length }}"}},
                                    {{"name", "rag"}, {"template", "R{{ documents[0].title }}"}}}}});
  ChatRequest request;
  request.messages = {{{"role", "user"}, {"content", "Hi"}}};
  request.template_kwargs = {{"x", 1}};
  EXPECT_EQ(chat.render(request), "D1");
  request.tools = ChatRequest::Json::array({ChatRequest::Json::object()});
  EXPECT_EQ(chat.render(request), "T1");
  request.template_name = "rag";
  request.documents = ChatRequest::Json::array({{{"title", "t"}}});
  EXPECT_EQ(chat.render(request), "Rt");
  request.template_name = "nope";
  expect_mentions(error_of([&] { chat.render(request); }), {"nope", "'default'", "'tool_use'", "tokenizer_config.json"});

  const testing::TemporaryDirectory directory;  // files of their own go before the configuration
  std::filesystem::create_directory(directory.path() / "additional_chat_templates");
  directory.write("tokenizer_config.json", R"({"chat_template": "config", "extra_special_tokens": {"image_token": "<img>"}})");
  directory.write("special_tokens_map.json", R"({"bos_token": {"content": "<s>"}})");
  directory.write("additional_chat_templates/tool_use.jinja", "tools{{ bos_token }}{{ image_token }}");
  request.template_name = "";
  EXPECT_EQ(ChatTemplate::load(directory.path()).render(request), "tools<s><img>");
  request.tools = nullptr;
  expect_mentions(error_of([&] { ChatTemplate::load(directory.path()).render(request); }), {"'default'", "'tool_use'"});
  directory.write("chat_template.jinja", "file");
  EXPECT_EQ(ChatTemplate::load(directory.path()).render(request), "file");
  directory.write("other.jinja", "{{ bos_token }} other");
  EXPECT_EQ(ChatTemplate::load(directory.path(), directory.path() / "other.jinja").render(request), "<s> other");
  EXPECT_FALSE(error_of([&] { ChatTemplate::load(directory.path(), directory.path() / "no.jinja"); }).empty());
}

TEST(ChatTemplate, RefusesRequestsThatAreNone) {
  const ChatTemplate chat = load({{"chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}"}});
  ChatRequest request;
  expect_mentions(error_of([&] { chat.render(request); }), {"at least one message"});
  request.messages = {1};
  expect_mentions(error_of([&] { chat.render(request); }), {"messages", "number"});
  request.messages = {{{"role", "user"}, {"content", "Hi"}}};
  request.tools = {{"a", 1}};
  expect_mentions(error_of([&] { chat.render(request); }), {"tools", "object"});
  request.tools = nullptr;
  request.continue_final_message = "content";
  expect_mentions(error_of([&] { chat.render(request); }), {"continued"});
  request.add_generation_prompt = false;
  EXPECT_EQ(chat.render(request), "Hi");
  request.continue_final_message = "reasoning";
  expect_mentions(error_of([&] { chat.render(request); }), {"'reasoning'", "does not speak"});
  request.continue_final_message = "";
  request.template_kwargs = {{"messages", 1}};
  expect_mentions(error_of([&] { chat.render(request); }), {"'messages'"});
}

std::string render(const std::string& source, const text::JinjaValue& variables = text::JinjaValue::object()) {
  return text::JinjaTemplate(source, "FILE").render(variables);
}

TEST(Jinja, Whitespace) {
  EXPECT_EQ(render("a\n  {% if true %}\n b\n  {% endif %}\nc\n"), "a\n b\nc");
  EXPECT_EQ(render("a \n {%- if true -%} \n b {%- endif %} c"), "ab c");
  EXPECT_EQ(render("a  {{ 'x' }}\n  {{- 'y' -}}  \n z"), "a  xyz");
  EXPECT_EQ(render("  {%+ if true +%}\n{% endif %}"), "  \n");
  EXPECT_EQ(render("a {# x #}\n b\r\n {# y #}\r\nc"), "a  b\nc");
  EXPECT_EQ(render("{{ {'a': {'b': 'c'}}['a']['b'] }}}}"), "c}}");
}

TEST(Jinja, Expressions) {
  const text::JinjaValue v = {{"s", " héllo "}, {"list", {1, 2, 3, 4}}, {"d", {{"k", "v"}}}, {"n", nullptr}};
  EXPECT_EQ(render("{{ s|trim ~ '!' }}|{{ s.strip().upper() if false else 'x' }}", v), "héllo!|x");
  EXPECT_EQ(render("{{ s[1:3] }}{{ s[-3:-1] }}{{ s|length }}{{ list[::-1]|join(',') }}{{ list[1:]|join }}{{ list[-1] }}", v),
            "hélo74,3,2,12344");
  EXPECT_EQ(render("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 - -1 }}"), "3 -4 2 14 21");
  EXPECT_EQ(render("{{ d.k }}{{ d['k'] }}{{ d.x is defined }}{{ d.get('x', 'y') }}{{ d.x }}{{ n }}{{ true }}", v),
            "vvFalseyNoneTrue");
  EXPECT_EQ(render("{{ 'k' in d }} {{ 'x' not in d }} {{ 2 in list }} {{ 'x' in s }} {{ not n or 1 }}", v),
            "True True True False True");
  EXPECT_EQ(render("{{ 'a' 'b' }}{{ 'q\\n\\x41\\u00e9\\'\\d' }}"), "abq\nA\xC3\xA9'\\d");
  EXPECT_EQ(render("{{ d|tojson }} {{ list|tojson }} {{ ''|default('z', true) }} {{ nope|default('z') }}", v),
            "{\"k\": \"v\"} [1, 2, 3, 4] z z");
  EXPECT_EQ(render("{{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ n is none }} {{ s is string and s is not mapping }}", v),
            "True True True True");
}

TEST(Jinja, Statements) {
  EXPECT_EQ(
      render(
          "{% for x in [1, 2, 3] if x != 2 %}{{ loop.index }}:{{ x }}{{ '' if loop.last else ', ' }}{% else %}none{% endfor %}"),
      "1:1, 2:3");
  EXPECT_EQ(render("{% for x in [] %}a{% else %}none{% endfor %}"), "none");
  EXPECT_EQ(render("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}"), "a1b2");
  EXPECT_EQ(
      render("{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% elif x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}"),
      "13");
  // A variable that a loop sets is gone after it; a namespace's attribute stays.
  EXPECT_EQ(render("{% set a = 1 %}{% set ns = namespace(b=1) %}{% for x in [5] %}{% set a = x %}{% set ns.b = x %}{% endfor "
                   "%}{{ a }}{{ ns.b }}"),
            "15");
  EXPECT_EQ(render("{% set x %}a{{ 1 }}{% endset %}{{ x }}{% generation %}g{% endgeneration %}"), "a1g");
  EXPECT_EQ(render("{{ strftime_now('%Y') | length }}{{ strftime_now is defined }}"), "4True");
}

TEST(Jinja, HostileTemplatesAreErrors) {
  for (const char* source : {"{{",
                             "{% if x %}",
                             "{{ 'a }}",
                             "{{ a b }}",
                             "{% endfor %}",
                             "{% for %}{% endfor %}",
                             "{{ 1 / 0 }}",
                             "{{ x.y }}",
                             "{{ 'a' + 1 }}",
                             "{{ 5[0:1] }}",
                             "{{ 'a'.nope() }}",
                             "{{ 'a'|nope }}",
                             "{{ 'a' is nope }}",
                             "{{ nope() }}",
                             "{% set x.y = 1 %}",
                             "{% include 'x' %}",
                             "{{ 9223372036854775808 }}",
                             "{{ 999999999999999999 * 999999999999999999 }}",
                             "{# x",
                             "{{ ) }}",
                             "{{ '\\ud800' }}",
                             "{%",
                             "{% for a, b in [1] %}{% endfor %}",
                             "{% for x in 5 %}{% endfor %}",
                             "{% else %}"}) {
    expect_mentions(error_of([&] { render(source); }), {"FILE"});
  }
  EXPECT_FALSE(error_of([] { render("{{ " + std::string(100000, '(') + "1"); }).empty());
  EXPECT_FALSE(error_of([] { render("{{ " + std::string(100000, '-') + "1 }}"); }).empty());
  EXPECT_FALSE(error_of([] {
                 std::string deep;
                 for (int i = 0; i < 100000; ++i) deep += "{% if 1 %}";
                 render(deep);
               }).empty());
  // Doubling a string until memory is gone, and loops without end.
  expect_mentions(error_of([] {
                    render("{% set s = namespace(x='aaaaaaaa') %}{% for a in 'x'.split(' ') %}" + [] {
                      std::string body;
                      for (int i = 0; i < 60; ++i) body += "{% set s.x = s.x + s.x %}";
                      return body;
                    }() + "{% endfor %}");
                  }),
                  {"grows"});
  std::string loops, ends;
  for (int i = 0; i < 12; ++i) {
    loops += "{% for a in [1,2,3,4,5,6,7,8,9,10] %}";
    ends += "{% endfor %}";
  }
  expect_mentions(error_of([&] { render(loops + ends); }), {"too many steps"});
}

}  // namespace
}  // namespace lockstep
