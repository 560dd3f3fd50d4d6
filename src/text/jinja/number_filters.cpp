// Filters that make numbers, or work on them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "text/jinja/arguments.h"
#include "text/jinja/characters.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"

namespace lockstep::text::jinja {

namespace {

constexpr double kIntegerEnd = 9223372036854775808.0;  // 2^63

// Without blanks around and single '_' between digits; nothing where a '_' is elsewhere.
std::optional<std::string> plain_number(std::string_view text) {
  std::string out;
  text = strip_space(text, true, true);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0 &&
                         std::isalnum(static_cast<unsigned char>(text[i + 1])) != 0;
    if (!between) return std::nullopt;
  }
  return out;
}

// float(text) of Python.
std::optional<double> parse_float(std::string_view text) {
  const std::optional<std::string> number = plain_number(text);
  if (!number || number->empty()) return std::nullopt;
  for (const char c : *number) {
    if (c == 'x' || c == 'X' || c == 'p' || c == '(') return std::nullopt;  // C's, not Python's
  }
  char* end = nullptr;
  const double value = std::strtod(number->c_str(), &end);
  if (*end != '\0' || is_space(static_cast<unsigned char>((*number)[0]))) return std::nullopt;
  return value;
}

// int(text, base) of Python; Error beyond 64 bits.
std::optional<int64_t> parse_integer(Run& run, std::string_view text, int64_t base) {
  const std::optional<std::string> number = plain_number(text);
  if (!number) return std::nullopt;
  std::string_view digits = *number;
  const bool is_negative = digits.starts_with('-');
  if (is_negative || digits.starts_with('+')) digits.remove_prefix(1);
  const char prefix =
      digits.size() > 1 && digits[0] == '0' ? static_cast<char>(std::tolower(static_cast<unsigned char>(digits[1]))) : '\0';
  const int64_t prefix_base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
  if (prefix_base != 0 && (base == prefix_base || base == 0)) {
    digits.remove_prefix(2);
    base = prefix_base;
  } else if (base == 0) {
    const bool is_zero = digits.find_first_not_of('0') == std::string_view::npos;
    if (digits.starts_with('0') && !is_zero) return std::nullopt;
    base = 10;
  }
  if (digits.empty() || digits[0] == '-' || digits[0] == '+') return std::nullopt;
  const std::string signed_digits = (is_negative ? "-" : "") + std::string(digits);
  int64_t value = 0;
  const char* end = signed_digits.data() + signed_digits.size();
  const auto result = std::from_chars(signed_digits.data(), end, value, static_cast<int>(base));
  if (result.ptr != end) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) run.refuse("an integer becomes larger than 64 bits hold");
  return result.ec == std::errc() ? std::optional<int64_t>(value) : std::nullopt;
}

std::optional<int64_t> truncated(Run& run, double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::fabs(value) >= kIntegerEnd) run.refuse("an integer becomes larger than 64 bits hold");
  return static_cast<int64_t>(value);
}

Value to_int(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'int'", arguments, {"default", "base"});
  const Value fallback = bound.has(0) ? *bound[0] : Value(0);
  if (self.is_undefined()) run.refuse_undefined(self);
  std::optional<int64_t> value;
  if (self.is_integer()) {
    value = self.integer();
  } else if (self.is(Kind::kFloat)) {
    if (std::isinf(self.number())) run.refuse("an infinite number has no integer");
    value = truncated(run, self.number());
  } else if (self.is_string()) {
    const int64_t base = bound.integer(1, 10);
    if (base == 0 || (base >= 2 && base <= 36)) value = parse_integer(run, self.text(), base);
    if (!value) {
      const std::optional<double> number = parse_float(self.text());
      if (number) value = truncated(run, *number);
    }
  }
  return value ? Value(*value) : fallback;
}

Value to_float(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'float'", arguments, {"default"});
  if (self.is_undefined()) run.refuse_undefined(self);
  if (self.is_number()) return self.number();
  const std::optional<double> value = self.is_string() ? parse_float(self.text()) : std::nullopt;
  return value ? Value(*value) : bound.has(0) ? *bound[0] : Value(0.0);
}

Value absolute(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'abs'", arguments, {});
  if (self.is(Kind::kFloat)) return std::fabs(self.number());
  if (self.is_integer()) return self.integer() < 0 ? negate(run, self) : Value(self.integer());
  run.refuse_type("the filter 'abs'", self);
}

// To a multiple of 10^-precision; half goes to even.
Value rounded_integer(Run& run, int64_t value, int64_t precision) {
  if (precision >= 0) return value;
  if (precision < -18) return 0;
  int64_t unit = 1;
  for (int64_t i = 0; i < -precision; ++i) unit *= 10;
  int64_t quotient = value / unit, rest = value % unit;
  if (rest < 0) {
    rest += unit;
    --quotient;
  }
  if (rest > unit - rest || (rest == unit - rest && quotient % 2 != 0)) ++quotient;
  return calculate(run, Operator::kMultiply, quotient, unit);
}

Value round(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'round'", arguments, {"precision", "method"});
  const int64_t precision = bound.integer(0);
  const std::string method = bound.has(1) ? bound.text(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    run.refuse("the filter 'round' knows the methods 'common', 'ceil' and 'floor'");
  if (!self.is_number()) run.refuse_type("the filter 'round'", self);
  if (method != "common") {
    const Value power = calculate(run, Operator::kPower, 10, precision);
    const Value scaled = calculate(run, Operator::kMultiply, self, power);
    Value whole = scaled;
    if (!scaled.is_integer()) {
      const std::optional<int64_t> integer =
          truncated(run, method == "ceil" ? std::ceil(scaled.number()) : std::floor(scaled.number()));
      if (!integer) run.refuse("the filter 'round' of what is no finite number");
      whole = *integer;
    }
    return calculate(run, Operator::kDivide, whole, power);
  }
  if (self.is_integer()) return rounded_integer(run, self.integer(), precision);
  const double value = self.number();
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision >= 0) return std::strtod(format_fixed(value, static_cast<int>(precision)).c_str(), nullptr);
  if (precision < -308) return std::copysign(0.0, value);
  if (std::fabs(value) < 9e15 && value == std::floor(value))
    return static_cast<double>(rounded_integer(run, static_cast<int64_t>(value), precision).integer());
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / unit) * unit;
}

Value file_size(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'filesizeformat'", arguments, {"binary"});
  const std::optional<double> parsed = self.is_string()   ? parse_float(self.text())
                                       : self.is_number() ? std::optional(self.number())
                                                          : std::nullopt;
  if (!parsed || !std::isfinite(*parsed)) run.refuse_type("the filter 'filesizeformat'", self);
  const double bytes = *parsed, base = bound.flag(0) ? 1024 : 1000;
  if (bytes == 1) return run.string("1 Byte");
  if (bytes < base) return run.string(fmt::format("{} Bytes", static_cast<int64_t>(bytes)));
  const std::string_view prefixes = bound.flag(0) ? "KMGTPEZY" : "kMGTPEZY";
  double unit = base * base;
  size_t i = 0;
  for (; bytes >= unit && i + 1 < prefixes.size(); ++i) unit *= base;
  return run.string(fmt::format("{} {}{}B", format_fixed(base * bytes / unit, 1), prefixes[i], bound.flag(0) ? "i" : ""));
}

constexpr Builtin kFilters[] = {
    {"abs", absolute}, {"filesizeformat", file_size}, {"float", to_float}, {"int", to_int}, {"round", round}};

}  // namespace

std::span<const Builtin> number_filters() { return kFilters; }

}  // namespace lockstep::text::jinja
