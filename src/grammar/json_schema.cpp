#include "grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "grammar/formats.h"
#include "grammar/number_range.h"
#include "grammar/regex.h"
#include "grammar/schema_keywords.h"
#include "grammar/schema_merge.h"

namespace lockstep::grammar {
namespace {

constexpr size_t kMaxRules = 20000;
constexpr size_t kMaxDerivedBytes = size_t{8} << 20;
constexpr int64_t kMaxCount = 1000000;  // of minLength, maxItems, ...; the budget ends long before

const std::set<std::string> kTypes = {"object", "array", "string", "number", "integer", "boolean", "null"};

// The types that a keyword is about.
std::vector<std::string> types_of_keyword(const std::string& key) {
  static const std::map<std::string, std::vector<std::string>> kOf = {
      {"properties", {"object"}},
      {"required", {"object"}},
      {"additionalProperties", {"object"}},
      {"unevaluatedProperties", {"object"}},
      {"minProperties", {"object"}},
      {"patternProperties", {"object"}},
      {"items", {"array"}},
      {"prefixItems", {"array"}},
      {"additionalItems", {"array"}},
      {"unevaluatedItems", {"array"}},
      {"minItems", {"array"}},
      {"maxItems", {"array"}},
      {"uniqueItems", {"array"}},
      {"minLength", {"string"}},
      {"maxLength", {"string"}},
      {"pattern", {"string"}},
      {"format", {"string"}},
      {"minimum", {"number"}},
      {"maximum", {"number"}},
      {"exclusiveMinimum", {"number"}},
      {"exclusiveMaximum", {"number"}},
      {"multipleOf", {"number"}},
  };
  const auto found = kOf.find(key);
  return found == kOf.end() ? std::vector<std::string>() : found->second;
}

bool is_of_type(const SchemaJson& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  return value.is_number_integer() || (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
}

class SchemaCompiler {
 public:
  SchemaCompiler(const SchemaJson& root, GrammarBuilder& builder, Budget& budget)
      : root_(root), builder_(builder), budget_(budget), rules_(builder, budget) {}

  RuleId compile() {
    const RuleId root = rule_of(root_, "");
    while (!todo_.empty()) {
      const Task task = todo_.front();
      todo_.pop_front();
      try {
        build(task);
      } catch (const SchemaError&) {
        throw;
      } catch (const Error& error) {  // of a pattern, or the budget
        throw SchemaError(task.pointer, error.what());
      }
    }
    return root;
  }

 private:
  struct Task {
    const SchemaJson* schema;
    std::string pointer;
    RuleId rule;
  };

  // The rule of a schema that outlives this; it is built later, so that schemas may contain themselves.
  RuleId rule_of(const SchemaJson& schema, const std::string& pointer) {
    const auto [it, is_new] = by_place_.try_emplace(&schema, -1);
    if (!is_new) return it->second;
    check(by_place_.size() <= kMaxRules, "the JSON schema has more than {} parts", kMaxRules);
    it->second = builder_.add_rule();
    todo_.push_back({&schema, pointer, it->second});
    return it->second;
  }
  // Likewise of a schema that was made of others; those that are equal are one.
  RuleId rule_of_derived(SchemaJson schema, const std::string& pointer) {
    std::string text = schema.dump();
    const auto found = by_text_.find(text);
    if (found != by_text_.end()) return found->second;
    derived_bytes_ += text.size();
    if (derived_bytes_ > kMaxDerivedBytes) throw SchemaError(pointer, "schemas that must hold together become too large");
    derived_.push_back(std::move(schema));
    return by_text_[std::move(text)] = rule_of(derived_.back(), pointer);
  }
  // A schema that is a reference and no more is what it refers to.
  RuleId rule_of_part(const SchemaJson& schema, std::string pointer) {
    constexpr int kMaxHops = 100;
    const SchemaJson* part = &schema;
    for (int hop = 0; part->is_object() && part->size() == 1 && part->contains("$ref"); ++hop) {
      pointer += "/$ref";
      if (hop == kMaxHops) throw SchemaError(pointer, "the reference goes round in a circle");
      part = &resolve_reference(root_, (*part)["$ref"], pointer);
    }
    return rule_of(*part, pointer);
  }

  [[noreturn]] static void refuse(const std::string& pointer, const std::string& what) { throw SchemaError(pointer, what); }

  static void check_keywords(const SchemaJson& schema, const std::string& pointer) {
    for (const auto& [key, value] : schema.items()) {
      const KeywordKind kind = kind_of_keyword(key);
      const std::string at = pointer + pointer_part(key);
      if (kind == KeywordKind::kUnknown) refuse(at, "the keyword is not known");
      if (kind == KeywordKind::kUnsupported) refuse(at, "the keyword is not supported");
      const auto only_if = [&](bool fine) {
        if (!fine) refuse(at, fmt::format("the keyword with the value {} is not supported", value.dump().substr(0, 60)));
      };
      if (key == "$id" || key == "id") only_if(pointer.empty());
      if (key == "unevaluatedProperties" || key == "unevaluatedItems") only_if(value.is_boolean());
      if (key == "patternProperties") only_if(value.is_object() && value.empty());
      if (key == "minProperties") only_if(value == 0);
      if (key == "multipleOf") only_if(value == 1 && schema.value("type", SchemaJson()) == "integer");
      if (key == "uniqueItems") only_if(value == false || (schema.value("maxItems", SchemaJson()) == 1));
    }
  }

  void build(const Task& task) {
    const std::string& at = task.pointer;
    if (task.schema->is_boolean()) return set_call(task.rule, *task.schema == true ? rules_.value() : rules_.nothing());
    if (!task.schema->is_object()) refuse(at, "expected an object or a boolean");
    check_keywords(*task.schema, at);
    const SchemaJson schema = flatten_schema(root_, *task.schema, at);
    if (schema.is_boolean()) return set_call(task.rule, schema == true ? rules_.value() : rules_.nothing());
    check_keywords(schema, at);
    for (const char* key : {"anyOf", "oneOf"}) {
      if (schema.contains(key)) return build_alternatives(task.rule, schema, key, at);
    }
    if (schema.contains("const") || schema.contains("enum")) return build_values(task.rule, schema, at);
    std::vector<RuleId> all;
    const std::vector<std::string> types = types_of(schema, at);
    // A schema of one type is its own rule.
    if (types.size() == 1) return set(task.rule, schema, types[0], at);
    for (const std::string& type : types) {
      if (type == "integer" && std::find(types.begin(), types.end(), "number") != types.end()) continue;
      const RuleId rule = builder_.add_rule();
      set(rule, schema, type, at);
      all.push_back(rule);
    }
    set_any_of(task.rule, all);
  }

  void set_call(RuleId rule, RuleId callee) { set_any_of(rule, {callee}); }
  void set_any_of(RuleId rule, const std::vector<RuleId>& callees) {
    rules_.set(rule, [&](Nfa& nfa, NfaState end) {
      std::vector<NfaState> all;
      for (const RuleId callee : callees) all.push_back(nfa.call(callee, end));
      return nfa.any_of(all);
    });
  }

  void build_alternatives(RuleId rule, const SchemaJson& schema, const char* key, const std::string& pointer) {
    const SchemaJson& list = schema[key];
    const std::string at = pointer + "/" + key;
    if (!list.is_array() || list.empty()) refuse(at, "expected a list of schemas, not empty");
    SchemaJson base = SchemaJson::object();
    for (const auto& [name, value] : schema.items()) {
      if (name != key && kind_of_keyword(name) != KeywordKind::kAnnotation) base[name] = value;
    }
    std::vector<RuleId> all;
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string part = fmt::format("{}/{}", at, i);
      if (base.empty()) {
        all.push_back(rule_of_kept(list[i], part));
      } else {
        all.push_back(rule_of_derived(merge_schemas(base, flatten_schema(root_, list[i], part), part), part));
      }
    }
    set_any_of(rule, all);
  }

  void build_values(RuleId rule, const SchemaJson& schema, const std::string& pointer) {
    SchemaJson values = SchemaJson::array();
    if (schema.contains("enum")) {
      if (!schema["enum"].is_array()) refuse(pointer + "/enum", "expected a list");
      values = schema["enum"];
    } else {
      values.push_back(schema["const"]);
    }
    for (const auto& [key, value] : schema.items()) {
      if (key != "enum" && key != "const" && key != "type" && kind_of_keyword(key) == KeywordKind::kConstraint) {
        refuse(pointer + pointer_part(key), "the keyword is not supported beside 'enum' or 'const'");
      }
    }
    const std::vector<std::string> types = types_of(schema, pointer);
    rules_.set(rule, [&](Nfa& nfa, NfaState end) {
      std::vector<NfaState> all;
      for (const SchemaJson& value : values) {
        const bool is_allowed =
            std::any_of(types.begin(), types.end(), [&](const std::string& type) { return is_of_type(value, type); }) &&
            (!schema.contains("const") || schema["const"] == value);
        if (is_allowed) all.push_back(rules_.literal(nfa, value, end));
      }
      return nfa.any_of(all);
    });
  }

  // `type`, else the types that the keywords are about, else all.
  static std::vector<std::string> types_of(const SchemaJson& schema, const std::string& pointer) {
    std::vector<std::string> types;
    const auto add = [&](const std::string& type) {
      if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(type);
    };
    if (const auto type = schema.find("type"); type != schema.end()) {
      const SchemaJson list = type->is_array() ? *type : SchemaJson::array({*type});
      for (const SchemaJson& one : list) {
        if (!one.is_string() || kTypes.count(one.get_ref<const std::string&>()) == 0)
          refuse(pointer + "/type", "'" + one.dump().substr(0, 60) + "' is no type");
        add(one.get<std::string>());
      }
      return types;
    }
    for (const auto& [key, value] : schema.items()) {
      for (const std::string& type : types_of_keyword(key)) add(type);
    }
    if (types.empty()) types = {"string", "number", "boolean", "null", "object", "array"};
    return types;
  }

  void set(RuleId rule, const SchemaJson& schema, const std::string& type, const std::string& pointer) {
    if (type == "object") return set_object(rule, schema, pointer);
    if (type == "array") return set_array(rule, schema, pointer);
    if (type == "string") return set_string(rule, schema, pointer);
    if (type == "number") return set_number(rule, schema, pointer);
    if (type == "integer") return set_integer(rule, schema, pointer);
    set_call(rule, type == "boolean" ? rules_.boolean() : rules_.null());
  }

  static int32_t count(const SchemaJson& schema, const char* key, int32_t otherwise, const std::string& pointer) {
    const auto found = schema.find(key);
    if (found == schema.end()) return otherwise;
    // 2.0 is an integer, too.
    const bool ok = found->is_number() && *found >= 0 && *found <= kMaxCount && is_of_type(*found, "integer");
    if (!ok) refuse(pointer + "/" + key, fmt::format("expected an integer from 0 to {}", kMaxCount));
    return static_cast<int32_t>(found->get<double>());
  }

  void set_object(RuleId rule, const SchemaJson& schema, const std::string& pointer) {
    struct Property {
      std::string name;
      RuleId rule;
      bool required;
    };
    std::vector<Property> properties;
    std::unordered_map<std::string, size_t> by_name;
    const auto more = schema.find("additionalProperties");
    if (const auto declared = schema.find("properties"); declared != schema.end()) {
      if (!declared->is_object()) refuse(pointer + "/properties", "expected an object");
      for (const auto& [name, value] : declared->items()) {
        by_name[name] = properties.size();
        properties.push_back({name, rule_of_kept(value, pointer + "/properties" + pointer_part(name)), false});
      }
    }
    if (const auto required = schema.find("required"); required != schema.end()) {
      if (!required->is_array()) refuse(pointer + "/required", "expected a list of names");
      for (const SchemaJson& name : *required) {
        if (!name.is_string()) refuse(pointer + "/required", "expected a list of names");
        const auto [it, is_new] = by_name.try_emplace(name.get<std::string>(), properties.size());
        if (is_new) {
          const RuleId any = more == schema.end() ? rules_.value() : rule_of_kept(*more, pointer + "/additionalProperties");
          properties.push_back({it->first, any, false});
        }
        properties[it->second].required = true;
      }
    }
    // Without a word on other properties: any, where none is declared; else only the declared ones.
    const bool is_free = more == schema.end() && properties.empty();
    if (is_free && schema.value("unevaluatedProperties", SchemaJson(true)) == true) return set_call(rule, rules_.object());
    const bool has_more = more != schema.end() && *more != false;
    const RuleId more_rule = has_more ? rule_of_kept(*more, pointer + "/additionalProperties") : -1;
    std::set<std::string> names;
    for (const Property& property : properties) names.insert(property.name);
    rules_.set(rule, [&](Nfa& nfa, NfaState end) {
      const NfaState closed = nfa.text("}", end);
      const NfaState closed_after_some = rules_.space(nfa, closed);
      // From the last to the first: where no member, and where some member stands before.
      NfaState none = closed, some = closed_after_some;
      if (has_more) {
        const NfaState again = nfa.add_state();
        const NfaState member = rules_.other_key(nfa, names, nfa.call(more_rule, again));
        nfa.add_epsilon(again, closed_after_some);
        nfa.add_epsilon(again, nfa.text(",", rules_.space(nfa, member)));
        some = again;
        none = nfa.any_of({closed, member});
      }
      for (auto property = properties.rbegin(); property != properties.rend(); ++property) {
        const NfaState member = rules_.key(nfa, property->name, nfa.call(property->rule, some));
        const NfaState further = nfa.text(",", rules_.space(nfa, member));
        some = property->required ? further : nfa.optional(further, some);
        none = property->required ? member : nfa.optional(member, none);
      }
      return nfa.text("{", rules_.space(nfa, none));
    });
  }

  void set_array(RuleId rule, const SchemaJson& schema, const std::string& pointer) {
    const int32_t min = count(schema, "minItems", 0, pointer);
    int32_t max = count(schema, "maxItems", Nfa::kUnbounded, pointer);
    // Before 2020-12, `items` was what `prefixItems` is now, and `additionalItems` what `items` is.
    const bool old = schema.contains("items") && schema["items"].is_array();
    const char* prefix_key = old ? "items" : "prefixItems";
    const char* rest_key = old ? "additionalItems" : "items";
    std::vector<RuleId> prefix;
    if (const auto list = schema.find(prefix_key); list != schema.end()) {
      if (!list->is_array()) refuse(pointer + "/" + prefix_key, "expected a list of schemas");
      for (size_t i = 0; i < list->size(); ++i) {
        prefix.push_back(rule_of_kept((*list)[i], fmt::format("{}/{}/{}", pointer, prefix_key, i)));
      }
    }
    const auto rest = schema.find(rest_key);
    const auto prefix_size = static_cast<int32_t>(prefix.size());
    RuleId rest_rule = rules_.value();
    if (rest != schema.end()) rest_rule = rule_of_kept(*rest, pointer + "/" + rest_key);
    // Nothing is said of what follows a prefix: nothing does, unless minItems wants it.
    const bool only_prefix = prefix_size > 0 && (rest == schema.end() || *rest == false);
    if (only_prefix) max = std::min(max, std::max(prefix_size, rest == schema.end() ? min : prefix_size));
    if (min > max) refuse(pointer, "no list has as many items as it needs");
    if (prefix.empty()) {
      return rules_.set(rule, [&](Nfa& nfa, NfaState end) {
        return rules_.list(
            nfa, '[', ']', min, max, [&](NfaState next) { return nfa.call(rest_rule, next); }, end);
      });
    }
    rules_.set(rule, [&](Nfa& nfa, NfaState end) {
      const NfaState closed = nfa.text("]", end);
      const NfaState closed_after_some = rules_.space(nfa, closed);
      const auto further = [&](RuleId item, NfaState next) { return nfa.text(",", rules_.space(nfa, nfa.call(item, next))); };
      const int32_t fixed = std::min(prefix_size, max);
      NfaState state = closed_after_some;
      if (max > prefix_size) {
        const int32_t left = max == Nfa::kUnbounded ? max : max - prefix_size;
        state = nfa.repeat(
            std::max(min - prefix_size, 0), left, [&](NfaState next) { return further(rest_rule, next); }, closed_after_some);
      }
      for (int32_t i = fixed - 1; i > 0; --i) {
        const NfaState next = further(prefix[static_cast<size_t>(i)], state);
        state = i >= min ? nfa.optional(next, closed_after_some) : next;
      }
      NfaState first = closed;
      if (fixed > 0) {
        first = nfa.call(prefix[0], state);
        if (min == 0) first = nfa.optional(first, closed);
      }
      return nfa.text("[", rules_.space(nfa, first));
    });
  }

  void set_string(RuleId rule, const SchemaJson& schema, const std::string& pointer) {
    const int32_t min = count(schema, "minLength", 0, pointer);
    const int32_t max = count(schema, "maxLength", Nfa::kUnbounded, pointer);
    if (min > max) refuse(pointer, "'minLength' is above 'maxLength'");
    const bool has_length = min > 0 || max != Nfa::kUnbounded;
    const bool has_pattern = schema.contains("pattern"), has_format = schema.contains("format");
    for (const char* key : {"pattern", "format"}) {
      if (schema.contains(key) && !schema[key].is_string()) refuse(pointer + "/" + key, "expected a string");
    }
    if (!has_length && !has_pattern && !has_format) return set_call(rule, rules_.string());
    const auto quoted = [&](const std::function<NfaState(Nfa&, NfaState)>& inside) {
      Nfa nfa(budget_);
      const NfaState start = nfa.text("\"", inside(nfa, nfa.text("\"", nfa.end())));
      return determinise(nfa, start, budget_);
    };
    std::vector<Dfa> all;
    const auto add_regex = [&](const char* key, std::string_view pattern, Match match) {
      try {
        const std::unique_ptr<RegexNode> regex = parse_regex(pattern);
        all.push_back(quoted([&](Nfa& nfa, NfaState to) { return build_regex(nfa, *regex, match, write_in_string, to); }));
      } catch (const Error& error) {
        refuse(pointer + "/" + key, error.what());
      }
    };
    if (has_pattern) add_regex("pattern", schema["pattern"].get_ref<const std::string&>(), Match::kSearch);
    if (has_format) {
      const std::string_view pattern = pattern_of_format(schema["format"].get_ref<const std::string&>());
      if (pattern.empty()) {
        refuse(pointer + "/format",
               fmt::format("the format {} is not supported; supported: {}", schema["format"].dump(), known_formats()));
      }
      add_regex("format", pattern, Match::kWhole);
    }
    if (has_length) {
      // Beside a pattern, strings are written in their shortest form only, as the pattern's are.
      const bool shortest = has_pattern || has_format;
      all.push_back(quoted([&](Nfa& nfa, NfaState to) {
        const auto character = [&](NfaState next) {
          return shortest ? write_in_string(nfa, CharacterSet::all().narrow, next) : string_character(nfa, next);
        };
        return nfa.repeat(min, max, character, to);
      }));
    }
    Dfa both = std::move(all.front());
    for (size_t i = 1; i < all.size(); ++i) both = intersect(both, all[i], budget_);
    builder_.set_rule(rule, std::move(both));
  }

  static std::optional<double> number(const SchemaJson& schema, const char* key, const std::string& pointer) {
    const auto found = schema.find(key);
    if (found == schema.end() || found->is_boolean()) return std::nullopt;
    if (!found->is_number()) refuse(pointer + "/" + key, "expected a number");
    return found->get<double>();
  }
  // The tighter of the bound and the exclusive one; in draft 4, the latter is a boolean that is about the former.
  static std::optional<Bound> bound(const SchemaJson& schema, bool lower, const std::string& pointer) {
    const std::optional<double> with = number(schema, lower ? "minimum" : "maximum", pointer);
    const char* key = lower ? "exclusiveMinimum" : "exclusiveMaximum";
    const std::optional<double> without = number(schema, key, pointer);
    std::optional<Bound> out;
    if (with) out = Bound{*with, schema.value(key, SchemaJson()) == true};
    if (without && (!out || (lower ? *without >= out->value : *without <= out->value))) out = Bound{*without, true};
    return out;
  }

  void set_number(RuleId rule, const SchemaJson& schema, const std::string& pointer) {
    if (schema.contains("multipleOf")) refuse(pointer + "/multipleOf", "the keyword is not supported for numbers");
    const std::optional<Bound> min = bound(schema, true, pointer), max = bound(schema, false, pointer);
    if (!min && !max) return set_call(rule, rules_.number());
    rules_.set(rule, [&](Nfa& nfa, NfaState end) { return build_number_range(nfa, min, max, end); });
  }

  void set_integer(RuleId rule, const SchemaJson& schema, const std::string& pointer) {
    const auto limit = [&](bool lower) -> std::optional<int64_t> {
      const std::optional<Bound> b = bound(schema, lower, pointer);
      if (!b) return std::nullopt;
      constexpr double kMost = 1e18;  // JsonRules::kMaxDigits
      double whole = lower ? std::ceil(b->value) : std::floor(b->value);
      if (std::abs(whole) >= kMost) return whole < 0 ? -static_cast<int64_t>(kMost) : static_cast<int64_t>(kMost);
      auto exact = static_cast<int64_t>(whole);
      // A bound that is an integer is exact, also where a double is not.
      for (const char* key : {lower ? "minimum" : "maximum", lower ? "exclusiveMinimum" : "exclusiveMaximum"}) {
        const auto found = schema.find(key);
        if (found != schema.end() && found->is_number_integer() && found->get<double>() == b->value)
          exact = found->get<int64_t>();
      }
      if (b->excluded && whole == b->value) exact += lower ? 1 : -1;
      return exact;
    };
    const std::optional<int64_t> min = limit(true), max = limit(false);
    if (!min && !max) return set_call(rule, rules_.integer());
    rules_.set(rule, [&](Nfa& nfa, NfaState end) { return build_integer_range(nfa, min, max, end); });
  }

  // Of a part of a flattened schema, which does not outlive the task.
  RuleId rule_of_kept(const SchemaJson& schema, const std::string& pointer) {
    if (schema.is_object() && schema.size() == 1 && schema.contains("$ref")) return rule_of_part(schema, pointer);
    return rule_of_derived(schema, pointer);
  }

  const SchemaJson& root_;
  GrammarBuilder& builder_;
  Budget& budget_;
  JsonRules rules_;
  std::unordered_map<const SchemaJson*, RuleId> by_place_;
  std::map<std::string, RuleId> by_text_;
  std::deque<SchemaJson> derived_;
  size_t derived_bytes_ = 0;
  std::deque<Task> todo_;
};

}  // namespace

RuleId build_json_schema(const SchemaJson& schema, GrammarBuilder& builder, Budget& budget) {
  return SchemaCompiler(schema, builder, budget).compile();
}

}  // namespace lockstep::grammar
