// Values as text: Python's str() and repr(), and json.dumps().
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/run.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

std::string float_repr(double value);
std::string string_repr(std::string_view text);

// Throws Error for values whose text in Python holds a memory address (functions, generators, ...).
void append_text(Run& run, const Value& value, std::string& out);
void append_repr(Run& run, const Value& value, std::string& out);
std::string to_text(Run& run, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool has_indent = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
std::string to_json(Run& run, const Value& value, const JsonStyle& style);

// A value of JSON. Throws Error for integers outside of 64 bits. (A call of from_json would find nlohmann's templates, too.)
Value value_from_json(Run& run, const JinjaValue& json);

}  // namespace lockstep::text::jinja
