#include "grammar/schema_merge.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

#include "grammar/schema_keywords.h"

namespace lockstep::grammar {
namespace {

constexpr int kMaxDepth = 64;

SchemaJson both(const SchemaJson& a, const SchemaJson& b) {
  if (a == b || b == true) return a;
  if (a == true) return b;
  return {{"allOf", SchemaJson::array({a, b})}};
}

bool is_type_in(const std::string& type, const SchemaJson& types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

SchemaJson merge_types(const SchemaJson& a, const SchemaJson& b) {
  const SchemaJson as = a.is_array() ? a : SchemaJson::array({a}), bs = b.is_array() ? b : SchemaJson::array({b});
  SchemaJson types = SchemaJson::array();
  for (const SchemaJson& type : as) {
    if (std::find(bs.begin(), bs.end(), type) != bs.end() || (type == "integer" && is_type_in("number", bs))) {
      types.push_back(type);
    } else if (type == "number" && is_type_in("integer", bs)) {
      types.push_back("integer");
    }
  }
  return types;
}

SchemaJson merge_lists(const SchemaJson& a, const SchemaJson& b, bool united) {
  SchemaJson out = united ? a : SchemaJson::array();
  if (united) {
    for (const SchemaJson& x : b) {
      if (std::find(a.begin(), a.end(), x) == a.end()) out.push_back(x);
    }
  } else {
    for (const SchemaJson& x : a) {
      if (std::find(b.begin(), b.end(), x) != b.end()) out.push_back(x);
    }
  }
  return out;
}

// A property that only one of the two names is an additional one for the other.
SchemaJson merge_properties(const SchemaJson& a, const SchemaJson& b) {
  const SchemaJson none = SchemaJson::object();
  const auto properties = [&](const SchemaJson& s) -> const SchemaJson& {
    const auto found = s.find("properties");
    return found == s.end() ? none : *found;
  };
  const SchemaJson& in_a = properties(a);
  const SchemaJson& in_b = properties(b);
  SchemaJson out = none;
  for (const auto& [name, schema] : in_a.items()) {
    const auto other = in_b.find(name);
    out[name] = both(schema, other != in_b.end() ? *other : b.value("additionalProperties", SchemaJson(true)));
  }
  for (const auto& [name, schema] : in_b.items()) {
    if (!in_a.contains(name)) out[name] = both(schema, a.value("additionalProperties", SchemaJson(true)));
  }
  return out;
}

bool says_nothing(const SchemaJson& schema) {
  for (const auto& [key, value] : schema.items()) {
    if (kind_of_keyword(key) != KeywordKind::kAnnotation) return false;
  }
  return true;
}

SchemaJson with_null(SchemaJson schema) {
  const auto nullable = schema.find("nullable");
  if (nullable == schema.end()) return schema;
  const bool wanted = *nullable == true;
  schema.erase("nullable");
  if (!wanted) return schema;
  if (const auto type = schema.find("type"); type != schema.end()) {
    SchemaJson types = type->is_array() ? *type : SchemaJson::array({*type});
    if (!is_type_in("null", types)) types.push_back("null");
    *type = types;
  }
  if (const auto values = schema.find("enum"); values != schema.end() && values->is_array()) values->push_back(nullptr);
  return schema;
}

class Flattener {
 public:
  explicit Flattener(const SchemaJson& root) : root_(root) {}

  SchemaJson flatten(const SchemaJson& schema, const std::string& pointer, int depth) {
    if (depth > kMaxDepth) throw SchemaError(pointer, "'$ref' and 'allOf' are nested too deep, or go round in a circle");
    if (schema == true) return SchemaJson::object();
    if (!schema.is_object() || (!schema.contains("$ref") && !schema.contains("allOf") && !schema.contains("nullable")))
      return schema;
    SchemaJson all = with_null(schema);
    std::vector<SchemaJson> parts;
    if (const auto reference = schema.find("$ref"); reference != schema.end()) {
      const std::string at = pointer + "/$ref";
      parts.push_back(flatten(resolve_reference(root_, *reference, at), at, depth + 1));
      all.erase("$ref");
    }
    if (const auto list = schema.find("allOf"); list != schema.end()) {
      if (!list->is_array() || list->empty()) throw SchemaError(pointer + "/allOf", "expected a list of schemas, not empty");
      for (size_t i = 0; i < list->size(); ++i) {
        parts.push_back(flatten((*list)[i], fmt::format("{}/allOf/{}", pointer, i), depth + 1));
      }
      all.erase("allOf");
    }
    for (const SchemaJson& part : parts) all = says_nothing(all) ? part : merge_schemas(all, part, pointer);
    return all;
  }

 private:
  const SchemaJson& root_;
};

}  // namespace

std::string pointer_part(const std::string& key) {
  std::string out = "/";
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

const SchemaJson& resolve_reference(const SchemaJson& root, const SchemaJson& reference, const std::string& pointer) {
  if (!reference.is_string() || !(reference == "#" || reference.get_ref<const std::string&>().starts_with("#/"))) {
    throw SchemaError(pointer, fmt::format("the reference {} is not supported; allowed: \"#\" and \"#/…\", within the schema",
                                           reference.dump(-1, ' ', false, SchemaJson::error_handler_t::replace)));
  }
  std::string path;  // a fragment of a URI: %HH is a byte
  const auto& text = reference.get_ref<const std::string&>();
  for (size_t i = 1; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      path += static_cast<char>(byte);
      i += 2;
    } else {
      path += text[i];
    }
  }
  try {
    return root.at(SchemaJson::json_pointer(path));
  } catch (const nlohmann::json::exception&) {
    throw SchemaError(pointer, fmt::format("the reference '{}' leads nowhere", text));
  }
}

SchemaJson flatten_schema(const SchemaJson& root, const SchemaJson& schema, const std::string& pointer) {
  return Flattener(root).flatten(schema, pointer, 0);
}

SchemaJson merge_schemas(const SchemaJson& a, const SchemaJson& b, const std::string& pointer) {
  if (a == false || b == false) return false;
  if (!a.is_object() || !b.is_object()) throw SchemaError(pointer, "expected an object or a boolean");
  static const std::set<std::string> kLower = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"};
  static const std::set<std::string> kUpper = {"maximum", "exclusiveMaximum", "maxLength", "maxItems"};
  static const std::set<std::string> kBelow = {"items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"};
  if (a.contains("prefixItems") != b.contains("prefixItems") && (a.contains("items") || b.contains("items"))) {
    throw SchemaError(pointer, "'prefixItems' and 'items' of schemas that must hold together cannot be made one");
  }
  SchemaJson out = a;
  for (const char* key : {"$defs", "definitions"}) out.erase(key);  // references are looked up in the whole
  for (const auto& [key, value] : b.items()) {
    const auto mine = a.find(key);
    if (key == "properties" || (mine == a.end() && kind_of_keyword(key) == KeywordKind::kAnnotation)) continue;
    if (mine == a.end()) {
      out[key] = value;
    } else if (*mine == value || kind_of_keyword(key) == KeywordKind::kAnnotation) {
      continue;
    } else if (key == "type") {
      out[key] = merge_types(*mine, value);
    } else if (key == "required" || key == "enum") {
      if (!mine->is_array() || !value.is_array()) throw SchemaError(pointer + "/" + key, "expected a list");
      out[key] = merge_lists(*mine, value, key == "required");
    } else if (key == "const") {
      return false;
    } else if (kLower.count(key) > 0 && mine->is_number() && value.is_number()) {
      out[key] = *mine < value ? value : *mine;
    } else if (kUpper.count(key) > 0 && mine->is_number() && value.is_number()) {
      out[key] = *mine < value ? *mine : value;
    } else if (kBelow.count(key) > 0) {
      out[key] = both(*mine, value);
    } else {
      throw SchemaError(pointer, fmt::format("'{}' of schemas that must hold together cannot be made one", key));
    }
  }
  if (a.contains("properties") || b.contains("properties")) {
    for (const SchemaJson* schema : {&a, &b}) {
      const auto properties = schema->find("properties");
      if (properties == schema->end()) continue;
      if (!properties->is_object()) throw SchemaError(pointer + "/properties", "expected an object");
      constexpr size_t kMost = 1000;
      if (properties->size() > kMost) throw SchemaError(pointer + "/properties", "too many to be made one with others");
    }
    out["properties"] = merge_properties(a, b);
  }
  return out;
}

}  // namespace lockstep::grammar
