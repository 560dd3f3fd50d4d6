#include "text/jinja/operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/characters.h"
#include "text/jinja/format.h"
#include "text/jinja/items.h"
#include "text/jinja/loop.h"
#include "text/jinja/text_functions.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

std::string_view symbol(Operator op) {
  constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[static_cast<size_t>(op)];
}

[[noreturn]] void refuse_operands(Run& run, Operator op, const Value& a, const Value& b) {
  if (a.is_undefined()) run.refuse_undefined(a);
  if (b.is_undefined()) run.refuse_undefined(b);
  run.refuse(fmt::format("'{}' between values of the types '{}' and '{}'", symbol(op), type_name(a.kind()), type_name(b.kind())));
}

// For HTML.
void append_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
}

Value integer_power(Run& run, int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) run.refuse("0 cannot be raised to a negative power");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result))
      run.refuse("an integer becomes larger than 64 bits hold");
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) run.refuse("an integer becomes larger than 64 bits hold");
  }
  return result;
}

Value integer_arithmetic(Run& run, Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd: overflow = __builtin_add_overflow(a, b, &result); break;
    case Operator::kSubtract: overflow = __builtin_sub_overflow(a, b, &result); break;
    case Operator::kMultiply: overflow = __builtin_mul_overflow(a, b, &result); break;
    case Operator::kPower: return integer_power(run, a, b);
    case Operator::kDivide:
      if (b == 0) run.refuse("a division by zero");
      // Exact where both are exact as doubles; else rounded once, through more bits.
      return static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b));
    default: {
      if (b == 0) run.refuse("a division by zero");
      if (b == -1) {
        if (op == Operator::kModulo) return 0;
        overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
        break;
      }
      const bool rounds_down = a % b != 0 && ((a < 0) != (b < 0));  // Python rounds down
      result = op == Operator::kModulo ? a % b + (rounds_down ? b : 0) : a / b - (rounds_down ? 1 : 0);
    }
  }
  if (overflow) run.refuse("an integer becomes larger than 64 bits hold");
  return result;
}

double float_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  if ((rest < 0) != (b < 0)) rest += b;
  return rest;
}

Value float_arithmetic(Run& run, Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd: return a + b;
    case Operator::kSubtract: return a - b;
    case Operator::kMultiply: return a * b;
    case Operator::kPower: {
      if (a == 0 && b < 0) run.refuse("0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b))
        run.refuse("a power that is a complex number is not supported");
      const double result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) run.refuse("a power is too large");
      return result;
    }
    default: break;
  }
  if (b == 0) run.refuse("a division by zero");
  if (op == Operator::kDivide) return a / b;
  const double rest = float_modulo(a, b);
  if (op == Operator::kModulo) return rest;
  const double exact = (a - rest) / b;
  if (exact == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(exact);
  return exact - whole > 0.5 ? whole + 1 : whole;
}

Value repeat(Run& run, const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (value.is_string()) {
    const std::string& text = value.text();
    constexpr int64_t kMaxBytes = 1 << 26;
    if (!text.empty() && times > kMaxBytes / static_cast<int64_t>(text.size())) {
      run.refuse(fmt::format("a text is repeated beyond all measure; the limit is {} bytes", kMaxBytes));
    }
    run.spend(times * static_cast<int64_t>(text.size()));
    std::string out;
    out.reserve(static_cast<size_t>(times) * text.size());
    if (text.size() == 1) {
      out.assign(static_cast<size_t>(times), text[0]);
    } else if (!text.empty()) {
      for (int64_t i = 0; i < times; ++i) out += text;
    }
    return keep_markup(value, run.string(std::move(out)));
  }
  constexpr int64_t kMaxItems = 1 << 20;
  const std::vector<Value>& items = value.items();
  if (!items.empty() && times > kMaxItems / static_cast<int64_t>(items.size())) {
    run.refuse(fmt::format("a list is repeated beyond all measure; the limit is {} items", kMaxItems));
  }
  std::vector<Value> out;
  for (int64_t i = 0; i < times && !items.empty(); ++i) out.insert(out.end(), items.begin(), items.end());
  return value.is(Kind::kList) ? run.list(std::move(out)) : run.tuple(std::move(out));
}

Order compare_lists(Run& run, const std::vector<Value>& a, const std::vector<Value>& b) {
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (is_same(a[i], b[i]) || is_equal(run, a[i], b[i])) continue;
    return is_less(run, a[i], b[i]) ? Order::kLess : Order::kGreater;
  }
  return a.size() == b.size() ? Order::kEqual : a.size() < b.size() ? Order::kLess : Order::kGreater;
}

Order order_of(Run& run, Operator op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    run.spend(static_cast<int64_t>(std::min(a.text().size(), b.text().size())));
    const int order = a.text().compare(b.text());  // the order of UTF-8 is that of code points
    return order == 0 ? Order::kEqual : order < 0 ? Order::kLess : Order::kGreater;
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const Run::Level level(run);
    return compare_lists(run, a.items(), b.items());
  }
  refuse_operands(run, op, a, b);
}

bool are_equal_dicts(Run& run, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (other == nullptr || !(is_same(value, *other) || is_equal(run, value, *other))) return false;
  }
  return true;
}

bool are_equal_items(Run& run, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!is_same(a[i], b[i]) && !is_equal(run, a[i], b[i])) return false;
  }
  return true;
}

}  // namespace

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool:
    case Kind::kInt: return value.integer() != 0;
    case Kind::kFloat: return value.number() != 0;
    case Kind::kString: return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple: return !value.items().empty();
    case Kind::kDict: return !value.as<Dict>().entries.empty();
    case Kind::kRange: return value.as<Range>().size() != 0;
    case Kind::kView: return !value.as<View>().dict.as<Dict>().entries.empty();
    default: return true;
  }
}

Order compare_numbers(const Value& a, const Value& b) {
  const auto order = [](auto x, auto y) {
    return x < y ? Order::kLess : x > y ? Order::kGreater : x == y ? Order::kEqual : Order::kUnordered;
  };
  if (a.is_integer() && b.is_integer()) return order(a.integer(), b.integer());
  if (a.is(Kind::kFloat) && b.is(Kind::kFloat)) return order(a.number(), b.number());
  // 80-bit floats hold both kinds exactly.
  const auto exact = [](const Value& v) {
    return v.is_integer() ? static_cast<long double>(v.integer()) : static_cast<long double>(v.number());
  };
  return order(exact(a), exact(b));
}

bool is_same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_object()) return a.object() == b.object();
  return a.is_none() || (a.is_integer() && a.integer() == b.integer());
}

bool is_equal(Run& run, const Value& a, const Value& b) {
  run.spend(static_cast<int64_t>(sizeof(Value)));
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == Order::kEqual;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return true;
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      run.spend(static_cast<int64_t>(a.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple: {
      const Run::Level level(run);
      return are_equal_items(run, a.items(), b.items());
    }
    case Kind::kDict: {
      const Run::Level level(run);
      return are_equal_dicts(run, a.as<Dict>(), b.as<Dict>());
    }
    case Kind::kRange: {
      const auto &x = a.as<Range>(), &y = b.as<Range>();
      const int64_t size = x.size();
      return size == y.size() && (size == 0 || (x.start == y.start && (size == 1 || x.step == y.step)));
    }
    case Kind::kView:
      if (a.as<View>().what != b.as<View>().what || a.as<View>().what == View::What::kValues) return a.object() == b.object();
      for (const auto& [key, value] : a.as<View>().dict.as<Dict>().entries) {
        const Value* other = b.as<View>().dict.as<Dict>().find(key);
        if (other == nullptr || (a.as<View>().what == View::What::kItems && !is_equal(run, value, *other))) return false;
      }
      return length(run, a) == length(run, b);
    case Kind::kBuiltin: return a.builtin() == b.builtin();
    case Kind::kMethod:
      return a.as<Method>().function == b.as<Method>().function && is_same(a.as<Method>().self, b.as<Method>().self);
    default: return a.object() == b.object();
  }
}

bool is_less(Run& run, const Value& a, const Value& b) { return order_of(run, Operator::kLess, a, b) == Order::kLess; }

bool contains(Run& run, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) refuse_operands(run, Operator::kIn, item, container);
    run.spend(static_cast<int64_t>(container.text().size()));
    return find_text(container.text(), item.text()) != std::string_view::npos;
  }
  if (container.is(Kind::kDict)) {
    if (!run.is_key(item)) {
      if (!item.is_sequence() && !item.is(Kind::kDict)) return false;
      run.refuse_type("a key of a dict", item);
    }
    return container.as<Dict>().find(item) != nullptr;
  }
  if (container.is(Kind::kRange) && item.is_integer()) {
    const auto& range = container.as<Range>();
    const int64_t size = range.size(), i = item.integer();
    if (size == 0 || (range.step > 0 ? i < range.start || i >= range.stop : i > range.start || i <= range.stop)) return false;
    return Range(range.start, i, range.step).size() == 0 ||
           Range(range.start, i, range.step).size() * range.step == i - range.start;
  }
  Items items(run, container, "'in'");
  for (Value other; items.next(other);) {
    if (is_same(other, item) || is_equal(run, other, item)) return true;
  }
  return false;
}

bool compare(Run& run, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::kEqual: return is_equal(run, a, b);
    case Operator::kNotEqual: return !is_equal(run, a, b);
    case Operator::kIn: return contains(run, b, a);
    case Operator::kNotIn: return !contains(run, b, a);
    default: break;
  }
  const Order order = order_of(run, op, a, b);
  switch (op) {
    case Operator::kLess: return order == Order::kLess;
    case Operator::kLessEqual: return order == Order::kLess || order == Order::kEqual;
    case Operator::kGreater: return order == Order::kGreater;
    default: return order == Order::kGreater || order == Order::kEqual;
  }
}

Value calculate(Run& run, Operator op, const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return integer_arithmetic(run, op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return float_arithmetic(run, op, a.number(), b.number());
  if (a.is_string() && op == Operator::kModulo) {
    if (a.as<String>().is_markup) run.refuse("'%' with the result of the filter 'safe' escapes HTML, which is not supported");
    return run.string(format_percent(run, a.text(), b));
  }
  if (op == Operator::kAdd) {
    if (a.is_string() && b.is_string()) {
      const bool is_markup = a.as<String>().is_markup || b.as<String>().is_markup;
      std::string text;
      text.reserve(a.text().size() + b.text().size());
      for (const Value& part : {a, b}) {
        if (is_markup && !part.as<String>().is_markup) {
          append_escaped(part.text(), text);  // as markupsafe does; a template with the filter `safe` must not be surprised here
        } else {
          text += part.text();
        }
      }
      const Value sum = run.string(std::move(text));
      sum.as<String>().is_markup = is_markup;
      return sum;
    }
    if (a.is_sequence() && a.kind() == b.kind()) {
      std::vector<Value> items;
      items.reserve(a.items().size() + b.items().size());
      items.insert(items.end(), a.items().begin(), a.items().end());
      items.insert(items.end(), b.items().begin(), b.items().end());
      return a.is(Kind::kList) ? run.list(std::move(items)) : run.tuple(std::move(items));
    }
  }
  if (op == Operator::kMultiply) {
    if ((a.is_string() || a.is_sequence()) && b.is_integer()) return repeat(run, a, b.integer());
    if ((b.is_string() || b.is_sequence()) && a.is_integer()) return repeat(run, b, a.integer());
  }
  refuse_operands(run, op, a, b);
}

Value negate(Run& run, const Value& value) {
  if (value.is_integer()) return integer_arithmetic(run, Operator::kSubtract, 0, value.integer());
  if (value.is(Kind::kFloat)) return -value.number();
  run.refuse_type("'-'", value);
}

Value plus(Run& run, const Value& value) {
  if (value.is_integer()) return value.integer();
  if (value.is(Kind::kFloat)) return value;
  run.refuse_type("'+'", value);
}

int64_t to_integer(Run& run, const Value& value, std::string_view what) {
  if (!value.is_integer()) run.refuse_type(fmt::format("{} must be an integer", what), value);
  return value.integer();
}

int64_t length(Run& run, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined: return 0;
    case Kind::kString: run.spend(static_cast<int64_t>(value.text().size())); return length_of(value.as<String>());
    case Kind::kList:
    case Kind::kTuple: return static_cast<int64_t>(value.items().size());
    case Kind::kDict: return static_cast<int64_t>(value.as<Dict>().entries.size());
    case Kind::kView: return static_cast<int64_t>(value.as<View>().dict.as<Dict>().entries.size());
    case Kind::kRange: return value.as<Range>().size();
    case Kind::kLoop: return value.as<Loop>().length();
    case Kind::kIterator: run.refuse("a generator has no length; make it a list with the filter 'list'");
    default: run.refuse_type("the length", value);
  }
}

Value slice(Run& run, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (!object.is_string() && !object.is_sequence() && !object.is(Kind::kRange)) run.refuse_type("a slice", object);
  if (object.is_string()) run.spend(static_cast<int64_t>(object.text().size()));
  const int64_t n = length(run, object);
  const int64_t stride = step.is_none() ? 1 : to_integer(run, step, "the step of a slice");
  if (stride == 0) run.refuse("a slice with step 0");
  const auto bound = [&](const Value& b, int64_t fallback) {
    if (b.is_none()) return fallback;
    const int64_t i = to_integer(run, b, "a bound of a slice");
    const int64_t from_start = i < 0 ? i + n : i;
    return stride > 0 ? std::clamp<int64_t>(from_start, 0, n) : std::clamp<int64_t>(from_start, -1, n - 1);
  };
  const int64_t first = bound(start, stride > 0 ? 0 : n - 1), last = bound(stop, stride > 0 ? n : -1);
  const int64_t count = Range(first, last, stride).size();
  if (object.is(Kind::kRange)) {
    const auto& range = object.as<Range>();
    return run.range(range.start + first * range.step, range.start + last * range.step, range.step * stride);
  }
  if (object.is_string()) {
    const std::string_view text = object.text();
    if (stride == 1) return keep_markup(object, run.string(std::string(characters_between(text, first, std::max(first, last)))));
    std::vector<std::string_view> characters;
    for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) characters.push_back(text.substr(i, utf8_length(text[i])));
    std::string out;
    for (int64_t k = 0; k < count; ++k) out += characters[static_cast<size_t>(first + k * stride)];
    return keep_markup(object, run.string(std::move(out)));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k) items.push_back(object.items()[static_cast<size_t>(first + k * stride)]);
  return object.is(Kind::kList) ? run.list(std::move(items)) : run.tuple(std::move(items));
}

}  // namespace lockstep::text::jinja
