// What Jinja's values can do: Python's notions of truth, text, slices, string methods; filters and tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja.h"

namespace lockstep::text::jinja {

// Where a template is, for messages: "FILE: chat template, line N".
struct Place {
  const std::string& where;
  int line;
  [[noreturn]] void refuse(std::string_view what) const;
};

struct Arguments {
  std::vector<JinjaValue> positional;
  std::vector<std::pair<std::string, JinjaValue>> keywords;
};

JinjaValue undefined();
bool is_true(const JinjaValue& value);
std::string to_text(const JinjaValue& value, const Place& place);  // as str() in Python; Error for a list or a dictionary
std::string_view type_name(const JinjaValue& value);

// What a value costs, in bytes or about. size_of: a text, or the places of a list or dictionary without what lies in them; weigh:
// with all of that, and Error where values lie in values deeper than any chat needs (they are copied by recursion).
int64_t size_of(const JinjaValue& value);
int64_t weigh(const JinjaValue& value, const Place& place);

// The element itself where `object` is a list and has it, or a dictionary and has it; else null.
const JinjaValue* find_element(const JinjaValue& object, const JinjaValue& index);
JinjaValue get_attribute(const JinjaValue& object, const std::string& name, const Place& place);
JinjaValue get_index(const JinjaValue& object, const JinjaValue& index, const Place& place);
// A missing bound is null.
JinjaValue get_slice(const JinjaValue& object, const JinjaValue& start, const JinjaValue& stop, const JinjaValue& step,
                     const Place& place);

JinjaValue apply_unary(std::string_view op, const JinjaValue& value, const Place& place);
JinjaValue apply_binary(std::string_view op, const JinjaValue& left, const JinjaValue& right, const Place& place);
JinjaValue apply_filter(std::string_view name, const JinjaValue& value, const Arguments& args, const Place& place);
bool apply_test(std::string_view name, const JinjaValue& value, const Arguments& args, const Place& place);
JinjaValue call_method(const JinjaValue& object, std::string_view name, const Arguments& args, const Place& place);

}  // namespace lockstep::text::jinja
