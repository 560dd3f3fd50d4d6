#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

class JsonWriter {
 public:
  JsonWriter(Run& run, const JsonStyle& style) : run_(run), style_(style) {}

  void write(const Value& value, int depth) {
    run_.spend(static_cast<int64_t>(sizeof(Value)));
    run_.check_output(static_cast<int64_t>(out_.size()));
    switch (value.kind()) {
      case Kind::kNone: out_ += "null"; return;
      case Kind::kBool: out_ += value.integer() != 0 ? "true" : "false"; return;
      case Kind::kInt: out_ += fmt::format_int(value.integer()).c_str(); return;
      case Kind::kFloat: out_ += number(value.number()); return;
      case Kind::kString: write_string(value.text()); return;
      case Kind::kList:
      case Kind::kTuple: write_list(value.items(), depth); return;
      case Kind::kDict: write_dict(value.as<Dict>(), depth); return;
      case Kind::kUndefined: run_.refuse_undefined(value);
      default: run_.refuse_type("tojson", value);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void write_string(std::string_view text) {
    run_.spend(static_cast<int64_t>(text.size()));
    out_ += '"';
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      const char32_t c = next_code_point(text, i);
      constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
      if (const size_t index = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
          index != std::string_view::npos) {
        out_ += '\\';
        out_ += kLetters[index];
      } else if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F)) {
        const auto code = static_cast<uint32_t>(c);
        if (code < 0x10000) {
          out_ += fmt::format("\\u{:04x}", code);
        } else {
          out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
        }
      } else {
        out_ += text.substr(begin, i - begin);
      }
    }
    out_ += '"';
  }

  void new_line(int depth) {
    if (!style_.has_indent) return;
    out_ += '\n';
    run_.spend(static_cast<int64_t>(style_.indent.size()) * depth);
    for (int i = 0; i < depth; ++i) out_ += style_.indent;
  }

  void write_list(const std::vector<Value>& items, int depth) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line(depth + 1);
      write(items[i], depth + 1);
    }
    new_line(depth);
    out_ += ']';
  }

  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString: write_string(key.text()); return;
      case Kind::kNone: write_string("null"); return;
      case Kind::kBool: write_string(key.integer() != 0 ? "true" : "false"); return;
      case Kind::kInt: write_string(fmt::format_int(key.integer()).c_str()); return;
      case Kind::kFloat: write_string(number(key.number())); return;
      default: run_.refuse_type("a key in tojson", key);
    }
  }

  void write_dict(const Dict& dict, int depth) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto* a, const auto* b) { return is_less(run_, a->first, b->first); });
    }
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line(depth + 1);
      write_key(entries[i]->first);
      out_ += style_.key_separator;
      write(entries[i]->second, depth + 1);
    }
    new_line(depth);
    out_ += '}';
  }

  Run& run_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string to_json(Run& run, const Value& value, const JsonStyle& style) {
  JsonWriter writer(run, style);
  writer.write(value, 0);
  return writer.take();
}

Value value_from_json(Run& run, const JinjaValue& json) {
  switch (json.type()) {
    case JinjaValue::value_t::boolean: return json.get<bool>();
    case JinjaValue::value_t::number_integer: return json.get<int64_t>();
    case JinjaValue::value_t::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX)
        run.refuse(fmt::format("the integer {} of the input is larger than 64 bits hold", json.dump()));
      return json.get<int64_t>();
    case JinjaValue::value_t::number_float: return json.get<double>();
    case JinjaValue::value_t::string:
      if (!is_valid_utf8(json.get_ref<const std::string&>())) run.refuse("a text of the input is not valid UTF-8");
      return run.string(json.get_ref<const std::string&>());
    case JinjaValue::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const JinjaValue& item : json) items.push_back(value_from_json(run, item));
      return run.list(std::move(items));
    }
    case JinjaValue::value_t::object: {
      const Value dict = run.make(new Dict, sizeof(Dict));
      dict.as<Dict>().entries.reserve(json.size());
      for (const auto& [key, item] : json.items()) run.add(dict, run.string(key), value_from_json(run, item));
      return dict;
    }
    default: return {};
  }
}

}  // namespace lockstep::text::jinja
