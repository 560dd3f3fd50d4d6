// Attributes and elements of values: object.name and object[index], with the sandbox's refusals.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/run.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

// Bit k: values of Kind k have an attribute of this name in Python, which goes before an element of the name.
uint32_t kinds_with_attribute(std::string_view name);

// The method that a call object.name(...) means, or null where it is none that may be called.
const Builtin* find_method(const Value& object, std::string_view name, uint32_t known_to);

// name must outlive the value. known_to: kinds_with_attribute(name).
Value get_attribute(Run& run, const Value& object, const std::string& name, uint32_t known_to);
Value get_item(Run& run, const Value& object, const Value& index);

// The parts of an attribute's path as filters take it: "a.b.0", or an integer; and what it leads to.
std::vector<Value> attribute_path(Run& run, const Value& path);
Value follow(Run& run, Value item, const std::vector<Value>& path, const Value* fallback = nullptr);

}  // namespace lockstep::text::jinja
