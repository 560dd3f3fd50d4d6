#include "text/jinja_values.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

constexpr size_t kMaxTextBytes = 1 << 26;  // a template that doubles a string in a loop must not take the machine
constexpr size_t kMaxListLength = 1 << 20;
constexpr int kMaxValueDepth = 32;
constexpr size_t kMaxStripCharacters = 256;

// Where `needle` first is in `text`, or npos; in time proportional to their lengths, which string_view::find is not.
size_t find_text(std::string_view text, std::string_view needle) {
  if (needle.empty()) return 0;
  const void* at = ::memmem(text.data(), text.size(), needle.data(), needle.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

void check_list(size_t length, const Place& place) {
  if (length > kMaxListLength) place.refuse("a list grows beyond all measure");
}

JinjaValue characters(std::string_view text, const Place& place) {
  check_list(count_code_points(text), place);
  JinjaValue out = JinjaValue::array();
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) out.push_back(text.substr(i, utf8_length(text[i])));
  return out;
}

// Characters [first, last) of a text, first <= last <= its length.
std::string_view characters_between(std::string_view text, int64_t first, int64_t last) {
  size_t begin = 0;
  for (int64_t i = 0; i < first; ++i) begin += utf8_length(text[begin]);
  size_t end = begin;
  for (int64_t i = first; i < last; ++i) end += utf8_length(text[end]);
  return text.substr(begin, end - begin);
}

// Python's str.strip family. chars empty: white space.
std::string strip(std::string_view text, std::string_view chars, bool left, bool right) {
  const auto goes = [&](std::string_view c) {
    size_t i = 0;
    const char32_t point = next_code_point(c, i);
    return chars.empty() ? is_white_space(point) || (point >= 0x1C && point <= 0x1F) : chars.find(c) != std::string_view::npos;
  };
  while (left && !text.empty() && goes(text.substr(0, utf8_length(text[0])))) text.remove_prefix(utf8_length(text[0]));
  while (right && !text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    if (!goes(text.substr(last))) break;
    text = text.substr(0, last);
  }
  return std::string(text);
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, const Place& place) {
  if (from.empty()) place.refuse("replace() of an empty string is not supported");
  std::string out;
  for (size_t at; (at = find_text(text, from)) != std::string_view::npos; text.remove_prefix(at + from.size())) {
    out += text.substr(0, at);
    out += to;
    if (out.size() > kMaxTextBytes) place.refuse("the text grows beyond all measure");
  }
  return out += text;
}

std::string change_case(std::string text, bool upper, const Place& place) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) place.refuse("upper and lower case beyond ASCII are not supported");
    c = static_cast<char>(upper ? std::toupper(static_cast<unsigned char>(c)) : std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

JinjaValue split(std::string_view text, const Arguments& args, const Place& place) {
  if (args.positional.size() != 1 || !args.positional[0].is_string() ||
      args.positional[0].get_ref<const std::string&>().empty()) {
    place.refuse("split() is supported with one string that is not empty");
  }
  const auto separator = args.positional[0].get<std::string>();
  JinjaValue out = JinjaValue::array();
  for (size_t at; (at = find_text(text, separator)) != std::string_view::npos; text.remove_prefix(at + separator.size())) {
    check_list(out.size(), place);
    out.push_back(std::string(text.substr(0, at)));
  }
  out.push_back(std::string(text));
  return out;
}

// json.dumps(value, ensure_ascii=False): ", " and ": " between the parts.
std::string to_json(const JinjaValue& value) {
  std::string out;
  if (value.is_array() || value.is_object()) {
    const bool object = value.is_object();
    out += object ? "{" : "[";
    for (const auto& item : value.items()) {
      if (out.size() > 1) out += ", ";
      if (object) out += JinjaValue(item.key()).dump() + ": ";
      out += to_json(item.value());
    }
    return out += object ? "}" : "]";
  }
  return value.dump();
}

int64_t integer(const JinjaValue& value, const Place& place) {
  if (!value.is_number_integer()) place.refuse(fmt::format("expected an integer, got {}", type_name(value)));
  return value.get<int64_t>();
}

std::string string_argument(const Arguments& args, size_t i, const Place& place) {
  if (i >= args.positional.size() || !args.positional[i].is_string()) place.refuse("expected a string as argument");
  return args.positional[i].get<std::string>();
}

bool contains(const JinjaValue& container, const JinjaValue& item, const Place& place) {
  if (container.is_string() && item.is_string()) {
    return find_text(container.get_ref<const std::string&>(), item.get_ref<const std::string&>()) != std::string_view::npos;
  }
  if (container.is_array()) return std::find(container.begin(), container.end(), item) != container.end();
  if (container.is_object() && item.is_string()) return container.contains(item.get_ref<const std::string&>());
  if (container.is_discarded()) return false;
  place.refuse(fmt::format("'in' between {} and {} is not supported", type_name(item), type_name(container)));
}

JinjaValue arithmetic(std::string_view op, const JinjaValue& left, const JinjaValue& right, const Place& place) {
  if (left.is_number_integer() && right.is_number_integer() && op != "/") {
    const auto a = left.get<int64_t>(), b = right.get<int64_t>();
    int64_t result = 0;
    bool overflow = false;
    if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
    if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
    if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
    if (op == "//" || op == "%") {
      if (b == 0 || b == -1) {
        if (b == 0) place.refuse("division by zero");
        if (op == "//") overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
      } else {
        const int64_t rest = ((a % b) + b) % b;  // Python rounds down
        result = op == "%" ? rest : (a - rest) / b;
      }
    }
    if (overflow) place.refuse("an integer overflows");
    return result;
  }
  if (left.is_number() && right.is_number()) {
    const auto a = left.get<double>(), b = right.get<double>();
    if (op == "+") return a + b;
    if (op == "-") return a - b;
    if (op == "*") return a * b;
    if (op == "/" && b != 0) return a / b;
  }
  place.refuse(fmt::format("'{}' between {} and {} is not supported", op, type_name(left), type_name(right)));
}

// select, reject, selectattr, rejectattr: the items that pass a test, or do not.
JinjaValue select(std::string_view name, const JinjaValue& list, const Arguments& args, const Place& place) {
  const bool by_attribute = name.ends_with("attr"), wanted = name.starts_with("select");
  const size_t test_at = by_attribute ? 1 : 0;
  Arguments test_args;
  for (size_t i = test_at + 1; i < args.positional.size(); ++i) test_args.positional.push_back(args.positional[i]);
  JinjaValue out = JinjaValue::array();
  for (const JinjaValue& item : list) {
    const JinjaValue value = by_attribute ? get_attribute(item, string_argument(args, 0, place), place) : item;
    const bool passes = args.positional.size() > test_at
                            ? apply_test(string_argument(args, test_at, place), value, test_args, place)
                            : is_true(value);
    if (passes == wanted) out.push_back(item);
  }
  return out;
}

}  // namespace

void Place::refuse(std::string_view what) const { fail("{}: chat template, line {}: {}", where, line, what); }

JinjaValue undefined() { return JinjaValue(JinjaValue::value_t::discarded); }

std::string_view type_name(const JinjaValue& value) { return value.is_discarded() ? "an undefined value" : value.type_name(); }

bool is_true(const JinjaValue& value) {
  if (value.is_discarded() || value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

std::string to_text(const JinjaValue& value, const Place& place) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_discarded()) return "";
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_integer()) return value.dump();
  place.refuse(fmt::format("{} as text is not supported", type_name(value)));
}

int64_t size_of(const JinjaValue& value) {
  constexpr int64_t kPlace = sizeof(JinjaValue);
  if (value.is_string()) return kPlace + static_cast<int64_t>(value.get_ref<const std::string&>().size());
  return kPlace +
         static_cast<int64_t>(value.size() * (value.is_object() ? sizeof(JinjaValue::object_t::value_type) : sizeof(JinjaValue)));
}

namespace {

int64_t weigh_below(const JinjaValue& value, const Place& place, int depth) {
  int64_t bytes = size_of(value);
  if (!value.is_structured()) return bytes;
  if (depth == kMaxValueDepth) place.refuse(fmt::format("a value is nested deeper than {} levels", kMaxValueDepth));
  for (const JinjaValue& item : value) bytes += weigh_below(item, place, depth + 1);
  return bytes;
}

}  // namespace

int64_t weigh(const JinjaValue& value, const Place& place) { return weigh_below(value, place, 0); }

JinjaValue get_attribute(const JinjaValue& object, const std::string& name, const Place& place) {
  if (object.is_discarded()) place.refuse(fmt::format("attribute '{}' of an undefined value", name));
  if (!object.is_object()) return undefined();
  const auto it = object.find(name);
  return it == object.end() ? undefined() : *it;
}

const JinjaValue* find_element(const JinjaValue& object, const JinjaValue& index) {
  if (object.is_object() && index.is_string()) {
    const auto it = object.find(index.get_ref<const std::string&>());
    return it == object.end() ? nullptr : &*it;
  }
  if (!object.is_array() || !index.is_number_integer()) return nullptr;
  const auto n = static_cast<int64_t>(object.size());
  auto i = index.get<int64_t>();
  if (i < 0) i += n;
  return i < 0 || i >= n ? nullptr : &object[static_cast<size_t>(i)];
}

JinjaValue get_index(const JinjaValue& object, const JinjaValue& index, const Place& place) {
  if (index.is_string()) return get_attribute(object, index.get<std::string>(), place);
  if (object.is_discarded()) place.refuse("a subscript of an undefined value");
  if (!object.is_string() || !index.is_number_integer()) {
    const JinjaValue* element = find_element(object, index);
    return element == nullptr ? undefined() : *element;
  }
  const auto& text = object.get_ref<const std::string&>();
  const auto n = static_cast<int64_t>(count_code_points(text));
  auto i = index.get<int64_t>();
  if (i < 0) i += n;
  return i < 0 || i >= n ? undefined() : JinjaValue(characters_between(text, i, i + 1));
}

JinjaValue get_slice(const JinjaValue& object, const JinjaValue& start, const JinjaValue& stop, const JinjaValue& step,
                     const Place& place) {
  if (!object.is_array() && !object.is_string()) place.refuse(fmt::format("a slice of {}", type_name(object)));
  const std::string_view whole = object.is_string() ? std::string_view(object.get_ref<const std::string&>()) : "";
  const auto n = static_cast<int64_t>(object.is_string() ? count_code_points(whole) : object.size());
  const int64_t stride = step.is_null() ? 1 : integer(step, place);
  if (stride == 0) place.refuse("a slice with step 0");
  const auto bound = [&](const JinjaValue& b, int64_t fallback) {
    if (b.is_null()) return fallback;
    const int64_t i = integer(b, place);
    const int64_t from_start = i < 0 ? i + n : i;
    return stride > 0 ? std::clamp<int64_t>(from_start, 0, n) : std::clamp<int64_t>(from_start, -1, n - 1);
  };
  const int64_t first = bound(start, stride > 0 ? 0 : n - 1), last = bound(stop, stride > 0 ? n : -1);
  if (object.is_string() && stride == 1) return characters_between(whole, first, std::max(first, last));
  const JinjaValue list = object.is_string() ? characters(whole, place) : JinjaValue();
  const JinjaValue& from = object.is_string() ? list : object;
  JinjaValue out = JinjaValue::array();
  // |stride| >= n leaves one element at most, and adding it further could overflow.
  for (int64_t i = first; stride > 0 ? i < last : i > last; i += stride) {
    out.push_back(from[static_cast<size_t>(i)]);
    if (stride >= n || stride <= -n) break;
  }
  if (!object.is_string()) return out;
  std::string text;
  for (const auto& c : out) text += c.get_ref<const std::string&>();
  return text;
}

JinjaValue apply_unary(std::string_view op, const JinjaValue& value, const Place& place) {
  if (op == "not") return !is_true(value);
  return arithmetic(op, JinjaValue(0), value, place);
}

JinjaValue apply_binary(std::string_view op, const JinjaValue& left, const JinjaValue& right, const Place& place) {
  if (op == "~" || (op == "+" && left.is_string() && right.is_string())) {
    std::string text = to_text(left, place) + to_text(right, place);
    if (text.size() > kMaxTextBytes) place.refuse("the text grows beyond all measure");
    return text;
  }
  if (op == "+" && left.is_array() && right.is_array()) {
    JinjaValue out = left;
    out.insert(out.end(), right.begin(), right.end());
    check_list(out.size(), place);
    return out;
  }
  const auto equal = [&] {
    return left.is_discarded() || right.is_discarded() ? left.is_discarded() && right.is_discarded() : left == right;
  };
  if (op == "==") return equal();
  if (op == "!=") return !equal();
  if (op == "in") return contains(right, left, place);
  if (op == "not in") return !contains(right, left, place);
  if (op == "<" || op == "<=" || op == ">" || op == ">=") {
    if (!(left.is_number() && right.is_number()) && !(left.is_string() && right.is_string())) {
      place.refuse(fmt::format("'{}' between {} and {}", op, type_name(left), type_name(right)));
    }
    if (op == "<") return left < right;
    if (op == "<=") return left <= right;
    if (op == ">") return left > right;
    return left >= right;
  }
  return arithmetic(op, left, right, place);
}

JinjaValue apply_filter(std::string_view name, const JinjaValue& value, const Arguments& args, const Place& place) {
  const bool plain = args.positional.empty() && args.keywords.empty();
  if (name == "trim" && plain) return strip(to_text(value, place), "", true, true);
  if ((name == "length" || name == "count") && plain) {
    if (value.is_string()) return count_code_points(value.get_ref<const std::string&>());
    if (value.is_array() || value.is_object()) return value.size();
    if (value.is_discarded()) return 0;
    place.refuse(fmt::format("the length of {}", type_name(value)));
  }
  if (name == "tojson" && plain && !value.is_discarded()) return to_json(value);
  if ((name == "upper" || name == "lower") && plain) return change_case(to_text(value, place), name == "upper", place);
  if (name == "string" && plain) return to_text(value, place);
  if (name == "safe" && plain) return value;
  if (name == "list" && plain) {
    if (value.is_array()) return value;
    if (value.is_string()) return characters(value.get_ref<const std::string&>(), place);
  }
  if ((name == "first" || name == "last") && plain && (value.is_array() || value.is_string())) {
    return get_index(value, name == "first" ? 0 : -1, place);
  }
  if ((name == "default" || name == "d") && args.keywords.empty() && !args.positional.empty() && args.positional.size() <= 2) {
    const bool falsy_too = args.positional.size() == 2 && is_true(args.positional[1]);
    return value.is_discarded() || (falsy_too && !is_true(value)) ? args.positional[0] : value;
  }
  if (name == "replace" && args.positional.size() == 2 && args.keywords.empty()) {
    return replace(to_text(value, place), string_argument(args, 0, place), string_argument(args, 1, place), place);
  }
  if (name == "join" && value.is_array() && args.keywords.empty() && args.positional.size() <= 1) {
    const std::string separator = args.positional.empty() ? "" : string_argument(args, 0, place);
    std::string out;
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += separator;
      out += to_text(value[i], place);
      if (out.size() > kMaxTextBytes) place.refuse("the text grows beyond all measure");
    }
    return out;
  }
  if ((name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") && value.is_array() &&
      args.keywords.empty()) {
    return select(name, value, args, place);
  }
  if (name == "map" && value.is_array() && args.positional.empty() && args.keywords.size() == 1 &&
      args.keywords[0].first == "attribute" && args.keywords[0].second.is_string()) {
    JinjaValue out = JinjaValue::array();
    for (const JinjaValue& item : value) out.push_back(get_attribute(item, args.keywords[0].second.get<std::string>(), place));
    return out;
  }
  place.refuse(fmt::format("the filter '{}' with these arguments on {} is not supported", name, type_name(value)));
}

bool apply_test(std::string_view name, const JinjaValue& value, const Arguments& args, const Place& place) {
  if (args.positional.empty() && args.keywords.empty()) {
    if (name == "defined") return !value.is_discarded();
    if (name == "undefined") return value.is_discarded();
    if (name == "none") return value.is_null();
    if (name == "string") return value.is_string();
    if (name == "mapping") return value.is_object();
    if (name == "iterable" || name == "sequence")
      return value.is_string() || value.is_array() || value.is_object() || value.is_discarded();
    if (name == "boolean") return value.is_boolean();
    if (name == "true") return value.is_boolean() && value.get<bool>();
    if (name == "false") return value.is_boolean() && !value.get<bool>();
    if (name == "integer") return value.is_number_integer();
    if (name == "float") return value.is_number_float();
    if (name == "number") return value.is_number() || value.is_boolean();
    if (name == "odd" || name == "even") return (integer(value, place) % 2 != 0) == (name == "odd");
  }
  if (args.positional.size() == 1 && args.keywords.empty()) {
    if (name == "equalto" || name == "eq") return is_true(apply_binary("==", value, args.positional[0], place));
    if (name == "ne") return is_true(apply_binary("!=", value, args.positional[0], place));
    if (name == "in") return contains(args.positional[0], value, place);
    if (name == "divisibleby") return is_true(apply_binary("==", arithmetic("%", value, args.positional[0], place), 0, place));
  }
  place.refuse(fmt::format("the test 'is {}' with these arguments is not supported", name));
}

JinjaValue call_method(const JinjaValue& object, std::string_view name, const Arguments& args, const Place& place) {
  if (object.is_string() && args.keywords.empty()) {
    const auto& text = object.get_ref<const std::string&>();
    const size_t n = args.positional.size();
    if ((name == "strip" || name == "lstrip" || name == "rstrip") && n <= 1) {
      const std::string chars = n == 1 ? string_argument(args, 0, place) : "";
      if (n == 1 && chars.empty()) return text;
      if (chars.size() > kMaxStripCharacters) place.refuse(fmt::format("{}() of more than {} bytes", name, kMaxStripCharacters));
      return strip(text, chars, name != "rstrip", name != "lstrip");
    }
    if (name == "split") return split(text, args, place);
    if (name == "startswith" && n == 1) return text.starts_with(string_argument(args, 0, place));
    if (name == "endswith" && n == 1) return text.ends_with(string_argument(args, 0, place));
    if (name == "replace" && n == 2)
      return replace(text, string_argument(args, 0, place), string_argument(args, 1, place), place);
    if ((name == "upper" || name == "lower") && n == 0) return change_case(text, name == "upper", place);
  }
  if (object.is_object() && args.keywords.empty()) {
    if (name == "get" && !args.positional.empty() && args.positional.size() <= 2) {
      const auto it = object.find(string_argument(args, 0, place));
      if (it != object.end()) return *it;
      return args.positional.size() == 2 ? args.positional[1] : JinjaValue(nullptr);
    }
    if ((name == "items" || name == "keys" || name == "values") && args.positional.empty()) {
      JinjaValue out = JinjaValue::array();
      for (const auto& item : object.items()) {
        if (name == "items") out.push_back(JinjaValue::array({item.key(), item.value()}));
        if (name == "keys") out.push_back(item.key());
        if (name == "values") out.push_back(item.value());
      }
      return out;
    }
  }
  place.refuse(fmt::format("the method '{}' with these arguments on {} is not supported", name, type_name(object)));
}

}  // namespace lockstep::text::jinja
