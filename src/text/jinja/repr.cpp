#include "text/jinja/repr.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/jinja/characters.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/operators.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

constexpr int kMaxReprDepth = 200;  // namespaces may hold themselves

void append_repr_at(Run& run, const Value& value, std::string& out, int depth);

void append_items(Run& run, const std::vector<Value>& items, std::string& out, int depth) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr_at(run, items[i], out, depth);
  }
}

void append_entries(Run& run, const std::vector<std::pair<Value, Value>>& entries, std::string& out, int depth) {
  out += '{';
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr_at(run, entries[i].first, out, depth);
    out += ": ";
    append_repr_at(run, entries[i].second, out, depth);
  }
  out += '}';
}

void append_view(Run& run, const View& view, std::string& out, int depth) {
  out += view.what == View::What::kKeys ? "dict_keys([" : view.what == View::What::kValues ? "dict_values([" : "dict_items([";
  bool first = true;
  for (const auto& [key, item] : view.dict.as<Dict>().entries) {
    if (!first) out += ", ";
    first = false;
    if (view.what == View::What::kItems) out += '(';
    if (view.what != View::What::kValues) append_repr_at(run, key, out, depth);
    if (view.what == View::What::kItems) out += ", ";
    if (view.what != View::What::kKeys) append_repr_at(run, item, out, depth);
    if (view.what == View::What::kItems) out += ')';
  }
  out += "])";
}

void append_repr_at(Run& run, const Value& value, std::string& out, int depth) {
  run.spend(static_cast<int64_t>(sizeof(Value)));
  run.check_output(static_cast<int64_t>(out.size()));
  if (depth > kMaxReprDepth) run.refuse("a value that holds itself cannot become text");
  switch (value.kind()) {
    case Kind::kUndefined: out += "Undefined"; return;
    case Kind::kNone: out += "None"; return;
    case Kind::kBool: out += value.integer() != 0 ? "True" : "False"; return;
    case Kind::kInt: out += fmt::format_int(value.integer()).c_str(); return;
    case Kind::kFloat: out += float_repr(value.number()); return;
    case Kind::kString: {
      const bool is_markup = value.as<String>().is_markup;
      run.spend(static_cast<int64_t>(value.text().size()));
      out += is_markup ? "Markup(" : "";
      out += string_repr(value.text());
      out += is_markup ? ")" : "";
      return;
    }
    case Kind::kList:
      out += '[';
      append_items(run, value.items(), out, depth + 1);
      out += ']';
      return;
    case Kind::kTuple:
      out += '(';
      append_items(run, value.items(), out, depth + 1);
      out += value.items().size() == 1 ? ",)" : ")";
      return;
    case Kind::kDict: append_entries(run, value.as<Dict>().entries, out, depth + 1); return;
    case Kind::kRange: {
      const auto& range = value.as<Range>();
      out += range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                             : fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
      return;
    }
    case Kind::kView: append_view(run, value.as<View>(), out, depth + 1); return;
    case Kind::kNamespace:
      out += "<Namespace ";
      append_entries(run, value.as<Namespace>().attributes, out, depth + 1);
      out += '>';
      return;
    case Kind::kMacro:
      out += value.as<Macro>().name.empty() ? "<Macro anonymous>" : "<Macro " + string_repr(value.as<Macro>().name) + ">";
      return;
    case Kind::kLoop: {
      auto& loop = value.as<Loop>();
      out += fmt::format("<LoopContext {}/{}>", loop.index0 + 1, loop.length());
      return;
    }
    case Kind::kIterator:
      run.refuse(fmt::format("a {} becomes text, which in Python is its memory address; make it a list with the filter 'list'",
                             value.as<Iterator>().type));
    default: break;
  }
  run.refuse(fmt::format("a value of type '{}' becomes text, which in Python is its memory address", type_name(value.kind())));
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // Shortest digits that read back as the same number: "-d.ddde±xx".
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const std::string sign = text.starts_with('-') ? "-" : "";
  text.remove_prefix(sign.size());
  const size_t e = text.find('e');
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  const int exponent = std::stoi(std::string(text.substr(e + 1)));
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}{}{}{}e{}{:02}", sign, digits[0], count > 1 ? "." : "", digits.substr(1), exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return sign + digits.substr(0, static_cast<size_t>(exponent + 1)) + "." + digits.substr(static_cast<size_t>(exponent + 1));
}

std::string string_repr(std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(begin, i - begin);
    } else {
      const auto code = static_cast<uint32_t>(c);
      out += code <= 0xFF     ? fmt::format("\\x{:02x}", code)
             : code <= 0xFFFF ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
  }
  return out + quote;
}

void append_repr(Run& run, const Value& value, std::string& out) { append_repr_at(run, value, out, 0); }

void append_text(Run& run, const Value& value, std::string& out) {
  if (value.is_string()) {
    out += value.text();
  } else if (!value.is_undefined()) {
    append_repr_at(run, value, out, 0);
  }
}

std::string to_text(Run& run, const Value& value) {
  if (value.is_string()) run.spend(static_cast<int64_t>(value.text().size()));
  std::string out;
  append_text(run, value, out);
  return out;
}

}  // namespace lockstep::text::jinja
