// The form of the output, as requests ask for it.
#include "openai/output_form.h"

#include <gtest/gtest.h>

#include "openai/request.h"

namespace lockstep {
namespace {

OpenAiRequest parse(const std::string& fields) {
  return parse_openai_request(parse_request_json(R"({"prompt": "Hi", )" + fields + "}"), Endpoint::kCompletions);
}

GrammarSpec form(const std::string& fields) { return parse(fields).sampling.grammar; }

// "the key that is to blame|the message"; empty: not refused.
std::string refusal(const std::string& fields) {
  try {
    parse(fields);
  } catch (const RequestError& error) {
    return error.param() + "|" + error.what();
  }
  return {};
}

GrammarSpec schema(const std::string& text) { return {GrammarKind::kJsonSchema, text}; }
GrammarSpec regex(const std::string& text) { return {GrammarKind::kRegex, text}; }
const GrammarSpec kNoForm;
const GrammarSpec kObject{GrammarKind::kJsonObject, ""};

TEST(OutputForm, ReadsResponseFormat) {
  EXPECT_EQ(form(R"("response_format": null)"), kNoForm);
  EXPECT_EQ(form(R"("response_format": {"type": "text"})"), kNoForm);
  EXPECT_EQ(form(R"("response_format": {"type": "json_object"})"), kObject);
  // The keys keep their order: properties come in that of the schema. What is beside it constrains nothing.
  EXPECT_EQ(form(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "strict": true,
                    "schema": {"type": "object", "properties": {"z": {}, "a": {}}}}})"),
            schema(R"({"type":"object","properties":{"z":{},"a":{}}})"));
  EXPECT_EQ(form(R"("response_format": {"type": "json_schema", "json_schema": {"schema": true}})"), schema("true"));
}

TEST(OutputForm, ReadsWhatVllmAdds) {
  EXPECT_EQ(form(R"("guided_json": {"type": "null"})"), schema(R"({"type":"null"})"));
  EXPECT_EQ(form(R"("guided_json": "{\"type\": \"null\"}")"), schema(R"({"type": "null"})"));  // text is left as it is
  EXPECT_EQ(form(R"("guided_regex": "[a-z]+")"), regex("[a-z]+"));
  EXPECT_EQ(form(R"("guided_choice": ["yes", "no"])"), regex("(?:yes|no)"));
  EXPECT_EQ(form(R"("guided_json_object": true)"), kObject);
  EXPECT_EQ(form(R"("guided_json_object": false, "guided_json": null, "guided_decoding_backend": "auto")"), kNoForm);
  EXPECT_EQ(form(R"("structured_outputs": {"json": {"type": "null"}})"), schema(R"({"type":"null"})"));
  EXPECT_EQ(form(R"("structured_outputs": {"regex": "a|b"})"), regex("a|b"));
  EXPECT_EQ(form(R"("structured_outputs": {"choice": ["yes"]})"), regex("(?:yes)"));
  EXPECT_EQ(form(R"("structured_outputs": {"json_object": true, "disable_fallback": true, "disable_any_whitespace": false})"),
            kObject);
  EXPECT_EQ(form(R"("structured_outputs": {})"), kNoForm);
  EXPECT_EQ(form(R"("response_format": {"type": "text"}, "guided_regex": "a")"), regex("a"));
}

// A choice is text, not an expression, whatever characters it has.
TEST(OutputForm, TakesChoicesLiterally) {
  EXPECT_EQ(form(R"("guided_choice": ["a.b", "(c|d)*", "e\\", "[^f]{2}$", "ü"])").text,
            R"re((?:a\.b|\(c\|d\)\*|e\\|\[\^f\]\{2\}\$|ü))re");
}

TEST(OutputForm, RefusesWhatIsNone) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("response_format": "json_object")", "response_format"},
      {R"("response_format": [])", "response_format"},
      {R"("response_format": {})", "response_format"},
      {R"("response_format": 200)", "response_format"},
      {R"("response_format": {"type": "xml"})", "response_format"},
      {R"("response_format": {"type": 3})", "type"},
      {R"("response_format": {"type": "json_schema"})", "response_format"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"name": "n"}})", "response_format"},
      {R"("response_format": {"type": "json_schema", "json_schema": []})", "response_format"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"schema": 3}})", "response_format"},
      {R"("guided_json": 3)", "guided_json"},
      {R"("guided_json": [])", "guided_json"},
      {R"("guided_regex": "")", "guided_regex"},
      {R"("guided_regex": ["a"])", "guided_regex"},
      {R"("guided_choice": [])", "guided_choice"},
      {R"("guided_choice": "yes")", "guided_choice"},
      {R"("guided_choice": ["yes", ""])", "guided_choice"},
      {R"("guided_choice": ["yes", 3])", "guided_choice"},
      {R"("guided_json_object": "yes")", "guided_json_object"},
      {R"("structured_outputs": "json")", "structured_outputs"},
      {R"("structured_outputs": {"jsn": {}})", "jsn"},
      {R"("structured_outputs": {"json": 3})", "json"},
      {R"("structured_outputs": {"disable_any_whitespace": true})", "disable_any_whitespace"},
      // What would constrain is never passed over.
      {R"("guided_grammar": "root ::= \"a\"")", "guided_grammar"},
      {R"("guided_whitespace_pattern": " ")", "guided_whitespace_pattern"},
      {R"("structured_outputs": {"grammar": "root ::= \"a\""})", "grammar"},
      {R"("structured_outputs": {"structural_tag": "{}"})", "structural_tag"},
  };
  for (const auto& [fields, param] : wrong) {
    const std::string said = refusal(fields);
    EXPECT_EQ(said.substr(0, said.find('|')), param) << fields << "\n" << said;
    EXPECT_NE(said.find(param, said.find('|')), std::string::npos) << fields << "\n" << said;
  }
}

// The value as it was sent, without quotes of ours around it.
TEST(OutputForm, ShowsTheValue) {
  EXPECT_NE(refusal(R"("guided_json": 200)").find("is 200; allowed: a JSON schema"), std::string::npos);
  EXPECT_NE(refusal(R"("guided_json": [null])").find("is [null]; allowed"), std::string::npos);
  EXPECT_NE(refusal(R"("guided_choice": "\u00fc\n")").find(R"(is "\u00fc\n"; allowed)"), std::string::npos);
}

TEST(OutputForm, TakesOneOnly) {
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {R"("response_format": {"type": "json_object"})", R"("guided_regex": "a")"},
      {R"("guided_json": {})", R"("guided_choice": ["a"])"},
      {R"("guided_json_object": true)", R"("structured_outputs": {"regex": "a"})"},
  };
  for (const auto& [first, second] : pairs) EXPECT_NE(refusal(first + ", " + second).find("allowed: one"), std::string::npos);
  EXPECT_NE(refusal(R"("structured_outputs": {"json": {}, "regex": "a"})").find("'json' and 'regex'"), std::string::npos);
}

}  // namespace
}  // namespace lockstep
