#include "text/jinja/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/jinja/attributes.h"
#include "text/jinja/characters.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

constexpr int64_t kMaxWidth = 1 << 20;

// What a format says of a number or text.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > = ^
  char sign = '-';    // - + or a blank
  bool alternate = false;
  int64_t width = 0;
  char grouping = '\0';  // , or _
  int64_t precision = -1;
  char type = '\0';
};

bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }

int64_t read_number(Run& run, std::string_view text, size_t& i) {
  int64_t value = 0;
  for (; i < text.size() && is_digit_byte(text[i]); ++i) {
    value = value * 10 + (text[i] - '0');
    if (value > kMaxWidth) run.refuse(fmt::format("a format asks for more than {} characters", kMaxWidth));
  }
  return value;
}

std::string repeated(std::string_view text, int64_t times) {
  std::string out;
  for (int64_t i = 0; i < times; ++i) out += text;
  return out;
}

// sign: what stays in front where zeros are put between it and the digits.
std::string pad(const Spec& spec, const std::string& sign, const std::string& body, char default_align) {
  const auto missing = spec.width - static_cast<int64_t>(count_code_points(sign) + count_code_points(body));
  if (missing <= 0) return sign + body;
  switch (spec.align != '\0' ? spec.align : default_align) {
    case '<': return sign + body + repeated(spec.fill, missing);
    case '=': return sign + repeated(spec.fill, missing) + body;
    case '^': return repeated(spec.fill, missing / 2) + sign + body + repeated(spec.fill, missing - missing / 2);
    default: return repeated(spec.fill, missing) + sign + body;
  }
}

std::string digits_of(uint64_t value, char type) {
  switch (type) {
    case 'b': return fmt::format("{:b}", value);
    case 'o': return fmt::format("{:o}", value);
    case 'x': return fmt::format("{:x}", value);
    case 'X': return fmt::format("{:X}", value);
    default: return fmt::format("{}", value);
  }
}

std::string with_grouping(const std::string& digits, char separator, size_t every) {
  if (separator == '\0') return digits;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string sign_of(bool is_negative, char sign) { return is_negative ? "-" : sign == '-' ? "" : std::string(1, sign); }

// Digits with zeros in front up to the width, when these are to be grouped, too.
std::string fill_with_zeros(std::string digits, const Spec& spec, size_t every, int64_t width) {
  std::string grouped = with_grouping(digits, spec.grouping, every);
  if (spec.fill != "0" || spec.align != '=' || spec.grouping == '\0') return grouped;
  while (static_cast<int64_t>(grouped.size()) < width) {
    digits.insert(0, 1, '0');
    grouped = with_grouping(digits, spec.grouping, every);
  }
  return grouped;
}

std::string format_integer(const Spec& spec, int64_t value) {
  const uint64_t magnitude = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string sign = sign_of(value < 0, spec.sign);
  if (spec.alternate && spec.type != 'd' && spec.type != '\0') sign += std::string("0") + spec.type;
  const size_t every = spec.type == 'd' || spec.type == '\0' ? 3 : 4;
  return pad(spec, sign,
             fill_with_zeros(digits_of(magnitude, spec.type), spec, every, spec.width - static_cast<int64_t>(sign.size())), '>');
}

// As C's printf, of which Python's types e, f and g are.
std::string print_float(double value, char type, int64_t precision, bool alternate) {
  const std::string format = fmt::format("%{}.*{}", alternate ? "#" : "", type);
  const int n = std::snprintf(nullptr, 0, format.c_str(), static_cast<int>(precision), value);
  std::string out(static_cast<size_t>(n) + 1, '\0');
  std::snprintf(out.data(), out.size(), format.c_str(), static_cast<int>(precision), value);
  out.pop_back();
  return out;
}

std::string format_float(Run& run, const Spec& spec, double value) {
  const bool is_negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::fabs(value);
  std::string text;
  if (spec.type == '%') {
    text = print_float(magnitude * 100, 'f', spec.precision < 0 ? 6 : spec.precision, spec.alternate);
    if (!std::isfinite(value)) text = std::isnan(value) ? "nan" : "inf";
    text += '%';
  } else if (spec.type == '\0') {
    if (spec.precision >= 0) run.refuse("a format of a float with a precision needs a type: e, f, g or %");
    text = float_repr(magnitude);
  } else {
    text = print_float(magnitude, spec.type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
  }
  const std::string sign = sign_of(is_negative, spec.sign);
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto rest = static_cast<int64_t>(text.size() - end);
  const std::string whole = fill_with_zeros(text.substr(0, end), spec, 3, spec.width - static_cast<int64_t>(sign.size()) - rest);
  return pad(spec, sign, whole + text.substr(end), '>');
}

std::string first_characters(const std::string& text, int64_t n) {
  const auto length = static_cast<int64_t>(count_code_points(text));
  return std::string(characters_between(text, 0, std::min(n, length)));
}

std::string ascii_only(const std::string& repr) {
  std::string out;
  for (size_t i = 0; i < repr.size();) {
    const auto c = static_cast<uint32_t>(next_code_point(repr, i));
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      out += c <= 0xFF ? fmt::format("\\x{:02x}", c) : c <= 0xFFFF ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c);
    }
  }
  return out;
}

std::string converted(Run& run, const Value& value, char conversion) {
  if (conversion == 's') return to_text(run, value);
  std::string out;
  append_repr(run, value, out);
  return conversion == 'a' ? ascii_only(out) : out;
}

// text % values
class PercentFormatter {
 public:
  PercentFormatter(Run& run, std::string_view text, const Value& values) : run_(run), text_(text), values_(values) {}

  std::string run() {
    while (i_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', i_), text_.size());
      out_ += text_.substr(i_, percent - i_);
      i_ = percent;
      if (i_ < text_.size()) conversion();
      run_.check_output(static_cast<int64_t>(out_.size()));
    }
    const bool is_mapping =
        values_.is(Kind::kDict) || values_.is(Kind::kList) || values_.is(Kind::kRange) || values_.is_undefined();
    const bool all_used = values_.is(Kind::kTuple) ? used_ == values_.items().size() : used_ > 0 || is_mapping || used_mapping_;
    if (!all_used) run_.refuse("'%' between a text and values: not all values are used");
    return std::move(out_);
  }

 private:
  char next() {
    if (++i_ >= text_.size()) run_.refuse("'%' between a text and values: the text ends inside of a conversion");
    return text_[i_];
  }
  const Value& next_value() {
    if (values_.is(Kind::kTuple)) {
      if (used_ >= values_.items().size()) run_.refuse("'%' between a text and values: there are too few values");
      return values_.items()[used_++];
    }
    if (used_ > 0) run_.refuse("'%' between a text and values: there are too few values");
    ++used_;
    return values_;
  }
  int64_t star_or_number(char& c) {
    if (c == '*') {
      const int64_t n = to_integer(run_, next_value(), "'*' of a format");
      if (n > kMaxWidth || n < -kMaxWidth) run_.refuse(fmt::format("a format asks for more than {} characters", kMaxWidth));
      c = next();
      return n;
    }
    const int64_t n = read_number(run_, text_, i_);
    if (i_ >= text_.size()) run_.refuse("'%' between a text and values: the text ends inside of a conversion");
    c = text_[i_];
    return n;
  }

  void conversion() {
    char c = next();
    Value named;
    bool has_name = false;
    if (c == '(') {
      if (!values_.is(Kind::kDict)) run_.refuse("'%' between a text and values: a name needs a dict");
      const size_t end = text_.find(')', i_);
      if (end == std::string_view::npos) run_.refuse("'%' between a text and values: '(' without ')'");
      const std::string_view name = text_.substr(i_ + 1, end - i_ - 1);
      const Value* found = values_.as<Dict>().find(name);
      if (found == nullptr) run_.refuse(fmt::format("'%' between a text and a dict: there is no '{}'", name));
      named = *found;
      has_name = used_mapping_ = true;
      i_ = end;
      c = next();
    }
    Spec spec;
    bool left = false, zeros = false;
    for (; c == '-' || c == '+' || c == ' ' || c == '#' || c == '0'; c = next()) {
      left = left || c == '-';
      zeros = zeros || c == '0';
      spec.alternate = spec.alternate || c == '#';
      if (c == '+' || (c == ' ' && spec.sign != '+')) spec.sign = c;
    }
    spec.width = star_or_number(c);
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (c == '.') {
      c = next();
      spec.precision = std::max<int64_t>(star_or_number(c), 0);
    }
    if (c == 'h' || c == 'l' || c == 'L') c = next();
    ++i_;
    if (c == '%') {
      out_ += '%';
      return;
    }
    const Value value = has_name ? named : next_value();
    spec.align = left ? '<' : '>';
    format(spec, c, value, zeros && !left);
  }

  void format(Spec& spec, char type, const Value& value, bool zeros) {
    switch (type) {
      case 's':
      case 'r':
      case 'a': {
        const std::string text = converted(run_, value, type);
        out_ += pad(spec, "", spec.precision >= 0 ? first_characters(text, spec.precision) : text, '>');
        return;
      }
      case 'c': {
        std::string text;
        if (value.is_string() && count_code_points(value.text()) == 1) {
          text = value.text();
        } else {
          const int64_t code = to_integer(run_, value, "the value of '%c'");
          if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) run_.refuse("'%c' of what is no character");
          append_code_point(text, static_cast<char32_t>(code));
        }
        out_ += pad(spec, "", text, '>');
        return;
      }
      default: break;
    }
    if (zeros) {
      spec.fill = "0";
      spec.align = '=';
    }
    if (type == 'd' || type == 'i' || type == 'u' || type == 'o' || type == 'x' || type == 'X') return integer(spec, type, value);
    constexpr std::string_view kFloatTypes = "eEfFgG";
    if (kFloatTypes.find(type) == std::string_view::npos) run_.refuse(fmt::format("'%{}' is no conversion", type));
    if (!value.is_number()) run_.refuse_type(fmt::format("'%{}' needs a number", type), value);
    spec.type = type;
    if (!std::isfinite(value.number()) && spec.fill == "0") spec.fill = "0";
    out_ += format_float(run_, spec, value.number());
  }

  void integer(Spec& spec, char type, const Value& value) {
    const bool is_decimal = type == 'd' || type == 'i' || type == 'u';
    int64_t number = 0;
    if (value.is(Kind::kFloat) && is_decimal) {
      if (!(std::fabs(value.number()) < 9.2e18)) run_.refuse("an integer becomes larger than 64 bits hold");
      number = static_cast<int64_t>(value.number());
    } else {
      number = to_integer(run_, value, fmt::format("the value of '%{}'", type));
    }
    const uint64_t magnitude = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    std::string digits = digits_of(magnitude, is_decimal ? 'd' : type);
    if (spec.precision > static_cast<int64_t>(digits.size())) {
      digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
    }
    std::string sign = sign_of(number < 0, spec.sign);
    if (spec.alternate && !is_decimal) sign += std::string("0") + type;
    out_ += pad(spec, sign, digits, '>');
  }

  Run& run_;
  const std::string_view text_;
  const Value& values_;
  size_t i_ = 0, used_ = 0;
  bool used_mapping_ = false;
  std::string out_;
};

// text.format(...)
class BraceFormatter {
 public:
  BraceFormatter(Run& run, const Arguments& arguments) : run_(run), arguments_(arguments) {}

  std::string format(std::string_view text, int depth) {
    if (depth < 0) run_.refuse("format(): fields are nested too deep");
    std::string out;
    for (size_t i = 0; i < text.size();) {
      const char c = text[i];
      if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
        out += c;
        i += 2;
      } else if (c == '}') {
        run_.refuse("format(): a '}' without '{'");
      } else if (c == '{') {
        const size_t end = end_of_field(text, i + 1);
        out += field(text.substr(i + 1, end - i - 1), depth);
        i = end + 1;
      } else {
        out += c;
        ++i;
      }
      run_.check_output(static_cast<int64_t>(out.size()));
    }
    return out;
  }

 private:
  size_t end_of_field(std::string_view text, size_t i) const {
    int open = 1;
    bool in_brackets = false;  // "{a[}]}" has the element "}"
    for (; i < text.size(); ++i) {
      if (text[i] == '[') in_brackets = true;
      if (text[i] == ']') in_brackets = false;
      if (in_brackets) continue;
      if (text[i] == '{') ++open;
      if (text[i] == '}' && --open == 0) return i;
    }
    run_.refuse("format(): a '{' without '}'");
  }

  std::string field(std::string_view text, int depth) {
    size_t end = 0;
    bool in_brackets = false;
    for (; end < text.size() && (in_brackets || (text[end] != '!' && text[end] != ':')); ++end) {
      if (text[end] == '[') in_brackets = true;
      if (text[end] == ']') in_brackets = false;
      if (text[end] == '{' && !in_brackets) run_.refuse("format(): unexpected '{' in the name of a field");
    }
    Value value = lookup(text.substr(0, end));
    std::string_view rest = text.substr(end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) run_.refuse("format(): '!' needs one of r, s and a");
      if (rest[1] != 'r' && rest[1] != 's' && rest[1] != 'a')
        run_.refuse(fmt::format("format(): '!{}' is no conversion", rest[1]));
      value = run_.string(converted(run_, value, rest[1]));
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    return format_value(value, format(rest, depth - 1));
  }

  Value lookup(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, first_end));
    for (size_t i = first_end; i < name.size();) {
      if (name[i] == '.') {
        const size_t end = std::min(name.find_first_of(".[", i + 1), name.size());
        const std::string attribute(name.substr(i + 1, end - i - 1));
        if (attribute.empty()) run_.refuse("format(): an attribute without a name");
        value = lasting(get_attribute(run_, value, attribute, kinds_with_attribute(attribute)));
        i = end;
      } else if (name[i] == '[') {
        const size_t end = name.find(']', i);
        if (end == std::string_view::npos || end == i + 1) run_.refuse("format(): '[' without an element and ']'");
        const std::string_view key = name.substr(i + 1, end - i - 1);
        value =
            get_item(run_, value,
                     is_index(key) ? Value(static_cast<int64_t>(std::stoll(std::string(key)))) : run_.string(std::string(key)));
        i = end + 1;
      } else {
        run_.refuse("format(): only '.' or '[' may follow ']'");
      }
    }
    return value;
  }
  // The name of an undefined value here does not last.
  static Value lasting(Value value) {
    if (!value.is_undefined()) return value;
    return Value::undefined(value.reason() == Reason::kUnsafe ? Reason::kUnsafe : Reason::kHint, "a field of format()",
                            value.owner());
  }

  static bool is_index(std::string_view text) {
    return !text.empty() && text.size() < 18 && std::all_of(text.begin(), text.end(), is_digit_byte);
  }

  Value argument(std::string_view name) {
    if (name.empty() || is_index(name)) {
      if ((name.empty() ? numbered_ : automatic_)) run_.refuse("format(): numbered fields beside fields without a number");
      (name.empty() ? automatic_ : numbered_) = true;
      const size_t index = name.empty() ? next_++ : static_cast<size_t>(std::stoll(std::string(name)));
      if (index >= arguments_.positional.size()) run_.refuse(fmt::format("format(): there is no argument {}", index));
      return arguments_.positional[index];
    }
    for (const auto& [keyword, value] : arguments_.keywords) {
      if (keyword == name) return value;
    }
    run_.refuse(fmt::format("format(): there is no argument '{}'", name));
  }

  Spec parse(std::string_view text) const {
    Spec spec;
    size_t i = 0;
    constexpr std::string_view kAligns = "<>=^";
    const size_t first = text.empty() ? 0 : utf8_length(text[0]);
    if (first > 0 && first < text.size() && kAligns.find(text[first]) != std::string_view::npos) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      i = first + 1;
    } else if (!text.empty() && kAligns.find(text[0]) != std::string_view::npos) {
      spec.align = text[i++];
    }
    const auto at = [&](char c) { return i < text.size() && text[i] == c; };
    if (at('+') || at('-') || at(' ')) spec.sign = text[i++];
    if (at('#')) spec.alternate = (++i, true);
    if (at('0')) {
      ++i;
      if (spec.align == '\0') {
        spec.fill = "0";
        spec.align = '=';
      }
    }
    spec.width = read_number(run_, text, i);
    if (at(',') || at('_')) spec.grouping = text[i++];
    if (at('.')) {
      const size_t start = ++i;
      spec.precision = read_number(run_, text, i);
      if (i == start) run_.refuse("format(): a precision without digits");
    }
    if (i < text.size()) spec.type = text[i++];
    if (i < text.size()) run_.refuse(fmt::format("format(): '{}' is no format", text));
    return spec;
  }

  std::string format_value(const Value& value, const std::string& text) {
    if (text.empty()) return to_text(run_, value);
    if (!value.is_string() && !value.is_number()) run_.refuse_type(fmt::format("format(): the format '{}'", text), value);
    Spec spec = parse(text);
    constexpr std::string_view kFloatTypes = "eEfFgG%", kIntegerTypes = "bdoxX";
    const bool is_float_type = spec.type != '\0' && kFloatTypes.find(spec.type) != std::string_view::npos;
    const auto wrong = [&] { run_.refuse_type(fmt::format("format(): the format '{}'", text), value); };
    if (value.is_string()) {
      if (spec.fill == "0" && spec.align == '=' && text[0] == '0') spec.align = '<';  // "05" fills texts on the right
      if ((spec.type != '\0' && spec.type != 's') || spec.align == '=' || spec.sign != '-' || spec.alternate ||
          spec.grouping != '\0')
        wrong();
      return pad(spec, "", spec.precision >= 0 ? first_characters(value.text(), spec.precision) : value.text(), '<');
    }
    if (value.is_integer() && !is_float_type) {
      if (spec.type != '\0' && kIntegerTypes.find(spec.type) == std::string_view::npos) wrong();
      if (spec.precision >= 0 || (spec.grouping == ',' && spec.type != '\0' && spec.type != 'd')) wrong();
      return format_integer(spec, value.integer());
    }
    if (spec.type != '\0' && !is_float_type) wrong();
    return format_float(run_, spec, value.number());
  }

  Run& run_;
  const Arguments& arguments_;
  size_t next_ = 0;
  bool automatic_ = false, numbered_ = false;
};

}  // namespace

std::string format_percent(Run& run, std::string_view text, const Value& values) {
  return PercentFormatter(run, text, values).run();
}

std::string format_braces(Run& run, std::string_view text, const Arguments& arguments) {
  run.spend(static_cast<int64_t>(text.size()));
  return BraceFormatter(run, arguments).format(text, 2);
}

std::string format_fixed(double value, int digits) { return print_float(value, 'f', digits, false); }

}  // namespace lockstep::text::jinja
