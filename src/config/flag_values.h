// Parsers of flag values. Each throws Error "'TEXT' is not allowed; allowed: …"; the caller puts the flag or key in front.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lockstep {

// A decimal integer in [min, max].
int64_t parse_integer(std::string_view text, int64_t min, int64_t max);
uint64_t parse_seed(std::string_view text);  // 0 to 2^64 - 1
// Decimal integers in [min, max] between commas, at least one.
std::vector<int64_t> parse_integers(std::string_view text, int64_t min, int64_t max);

// A range of finite numbers; open_min excludes min itself.
struct NumberRange {
  double min = 0.0;
  double max = 0.0;
  bool open_min = false;
  std::string describe() const;  // "a number from 0 to 1", "a number above 0 and at most 1"
};
double parse_number(std::string_view text, const NumberRange& range);

// "true" or "false".
bool parse_switch(std::string_view text);

// The value that `text` names. choices: (name, value) pairs.
template <typename E>
using Choices = std::vector<std::pair<std::string_view, E>>;
template <typename E>
std::string choice_names(const Choices<E>& choices, std::string_view separator) {
  std::string names;
  for (const auto& [name, value] : choices) names += (names.empty() ? "" : std::string(separator)) + std::string(name);
  return names;
}
template <typename E>
E parse_choice(std::string_view text, const Choices<E>& choices) {
  for (const auto& [name, value] : choices) {
    if (name == text) return value;
  }
  fail("'{}' is not allowed; allowed: {}", text, choice_names(choices, ", "));
}
template <typename E>
std::string choice_name(const E& value, const Choices<E>& choices) {
  for (const auto& [name, v] : choices) {
    if (v == value) return std::string(name);
  }
  if constexpr (std::is_convertible_v<E, std::string_view>) {
    fail("'{}' is not allowed; allowed: {}", value, choice_names(choices, ", "));
  }
  fail("a value without a name; allowed: {}", choice_names(choices, ", "));
}

}  // namespace lockstep
