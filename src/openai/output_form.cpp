#include "openai/output_form.h"

#include <string>

#include "grammar/regex_syntax.h"

namespace lockstep {
namespace {

using Json = RequestJson;

// A schema as JSON, or as text that is JSON.
GrammarSpec schema_of(const std::string& key, const Json& value) {
  if (value.is_string()) return {GrammarKind::kJsonSchema, value.get<std::string>()};
  if (!value.is_object() && !value.is_boolean()) JsonFields::refuse(key, value, "a JSON schema");
  return {GrammarKind::kJsonSchema, value.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

GrammarSpec regex_of(const std::string& key, const Json& value) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) JsonFields::refuse(key, value, "a regular expression");
  return {GrammarKind::kRegex, value.get<std::string>()};
}

GrammarSpec choice_of(const std::string& key, const Json& value) {
  if (!value.is_array() || value.empty()) JsonFields::refuse(key, value, "a list of texts, not empty");
  std::string all;
  for (const Json& text : value) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty()) JsonFields::refuse(key, value, "texts, not empty");
    all += (all.empty() ? "(?:" : "|") + grammar::escape_regex(text.get_ref<const std::string&>());
  }
  return {GrammarKind::kRegex, all + ")"};
}

GrammarSpec response_format_of(const Json& format) {
  const std::string key = "response_format";
  if (!format.is_object()) JsonFields::refuse(key, format, "an object with a type");
  JsonFields fields(format);
  std::string type;
  fields.text("type", type);
  if (type == "text") return {};
  if (type == "json_object") return {GrammarKind::kJsonObject, ""};
  if (type != "json_schema") JsonFields::refuse(key, format, "one of the types \"text\", \"json_object\" and \"json_schema\"");
  const Json* wrapped = fields.find("json_schema");
  const Json* schema = wrapped == nullptr || !wrapped->is_object() ? nullptr : JsonFields(*wrapped).find("schema");
  if (schema == nullptr) JsonFields::refuse(key, format, "with the type json_schema, {\"json_schema\": {\"schema\": …}}");
  return schema_of(key, *schema);
}

}  // namespace

GrammarSpec read_output_form(JsonFields& fields) {
  GrammarSpec form;
  std::string given;  // the key that asks for `form`
  const auto take = [&](const std::string& key, GrammarSpec spec) {
    if (spec.kind == GrammarKind::kNone) return;
    if (!given.empty()) throw RequestError(key, fmt::format("'{}' and '{}' both ask for a form; allowed: one", given, key));
    form = std::move(spec);
    given = key;
  };
  const auto take_all = [&](JsonFields& from, const std::string& prefix) {
    if (const Json* value = from.find(prefix + "json")) take(prefix + "json", schema_of(prefix + "json", *value));
    if (const Json* value = from.find(prefix + "regex")) take(prefix + "regex", regex_of(prefix + "regex", *value));
    if (const Json* value = from.find(prefix + "choice")) take(prefix + "choice", choice_of(prefix + "choice", *value));
    bool object = false;
    from.boolean(prefix + "json_object", object);
    if (object) take(prefix + "json_object", {GrammarKind::kJsonObject, ""});
    for (const char* name : {"grammar", "structural_tag", "whitespace_pattern"}) {
      if (from.has(prefix + name)) throw RequestError(prefix + name, fmt::format("'{}{}' is not supported", prefix, name));
    }
  };
  if (const Json* format = fields.find("response_format")) take("response_format", response_format_of(*format));
  take_all(fields, "guided_");
  if (const Json* outputs = fields.find("structured_outputs")) {
    if (!outputs->is_object()) JsonFields::refuse("structured_outputs", *outputs, "an object");
    JsonFields inner(*outputs);
    take_all(inner, "");
    for (const char* name : {"disable_any_whitespace", "disable_additional_properties"}) {
      bool wanted = false;
      inner.boolean(name, wanted);
      if (wanted) throw RequestError(name, fmt::format("'{}' is true, which is not supported", name));
    }
    inner.ignore({"disable_fallback"});
    inner.finish();
  }
  fields.ignore({"guided_decoding_backend"});
  return form;
}

}  // namespace lockstep
