#include "config/flag_values.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace lockstep {
namespace {

// Whether all of `text` is a T; overflow is not.
template <typename T>
bool parse_all(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

int64_t parse_integer(std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  check(parse_all(text, value) && value >= min && value <= max, "'{}' is not allowed; allowed: an integer from {} to {}", text,
        min, max);
  return value;
}

uint64_t parse_seed(std::string_view text) {
  uint64_t value = 0;
  check(parse_all(text, value), "'{}' is not allowed; allowed: an integer from 0 to {}", text,
        std::numeric_limits<uint64_t>::max());
  return value;
}

std::vector<int64_t> parse_integers(std::string_view text, int64_t min, int64_t max) {
  std::vector<int64_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, end - begin);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    int64_t value = 0;
    check(parse_all(item, value) && value >= min && value <= max,
          "'{}' is not allowed; allowed: integers from {} to {} between commas", text, min, max);
    values.push_back(value);
    begin = end + 1;
  }
  return values;
}

std::string NumberRange::describe() const {
  return open_min ? fmt::format("a number above {} and at most {}", min, max) : fmt::format("a number from {} to {}", min, max);
}

double parse_number(std::string_view text, const NumberRange& range) {
  double value = 0;
  // NaN fails both comparisons, and max is finite.
  const bool ok = parse_all(text, value) && (range.open_min ? value > range.min : value >= range.min) && value <= range.max;
  check(ok, "'{}' is not allowed; allowed: {}", text, range.describe());
  return value;
}

bool parse_switch(std::string_view text) { return parse_choice<bool>(text, {{"true", true}, {"false", false}}); }

}  // namespace lockstep
