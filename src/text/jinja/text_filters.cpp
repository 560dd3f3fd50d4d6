// Filters that work on texts.
#include <fmt/format.h>

#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/attributes.h"
#include "text/jinja/characters.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/items.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_functions.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

template <std::string (*F)(std::string_view), bool kKeepsMarkup = true>
Value change(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "this filter", arguments, {});
  const Value made = run.string(F(to_text(run, self)));
  return kKeepsMarkup ? keep_markup(self, made) : made;
}

// Each word begins with an upper case letter; words begin behind blanks and opening brackets.
std::string title(std::string_view text) {
  constexpr std::string_view kBeginning = "-({[<";
  std::string out;
  const auto begins = [&](char32_t c) {
    return (c < 0x80 && kBeginning.find(static_cast<char>(c)) != std::string_view::npos) || is_space(c);
  };
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const bool is_separator = begins(next_code_point(text, i));
    const size_t second = i;
    while (i < text.size()) {
      size_t next = i;
      if (begins(next_code_point(text, next)) != is_separator) break;
      i = next;
    }
    out += to_upper(text.substr(begin, second - begin));
    out += to_lower(text.substr(second, i - second));
  }
  return out;
}

Value string(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'string'", arguments, {});
  return self.is_string() ? self : run.string(to_text(run, self));
}

Value safe(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'safe'", arguments, {});
  const Value text = run.string(to_text(run, self));
  text.as<String>().is_markup = true;
  return text;
}

Value trim(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'trim'", arguments, {"chars"});
  const std::string text = to_text(run, self);
  const std::string_view trimmed =
      bound.is_none(0) ? strip_space(text, true, true) : strip_characters(text, bound.text(0), true, true);
  return keep_markup(self, run.string(std::string(trimmed)));
}

Value replace(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'replace'", arguments, {"old", "new", "count"}, 2);
  const int64_t count = bound.is_none(2) ? -1 : bound.integer(2);
  return run.string(replace_text(run, to_text(run, self), to_text(run, *bound[0]), to_text(run, *bound[1]), count));
}

Value center(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'center'", arguments, {"width"});
  const int64_t width = bound.integer(0, 80);
  if (width > (1 << 20)) run.refuse("the filter 'center' makes no text wider than 1048576 characters");
  return run.string(justified(to_text(run, self), width, " ", '^'));
}

Value join(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'join'", arguments, {"d", "attribute"});
  const std::string separator = bound.has(0) ? to_text(run, *bound[0]) : "";
  const std::vector<Value> path = bound.has(1) ? attribute_path(run, *bound[1]) : std::vector<Value>();
  std::string out;
  Items items(run, self, "the filter 'join'");
  bool is_first = true;
  for (Value item; items.next(item); is_first = false) {
    run.spend(static_cast<int64_t>(separator.size()));
    if (!is_first) out += separator;
    const Value value = path.empty() ? item : follow(run, item, path);
    if (value.is_string()) run.spend(static_cast<int64_t>(value.text().size()));
    append_text(run, value, out);
    if (out.size() > (1 << 26)) run.refuse("a text grows beyond all measure; the limit is 67108864 bytes");
  }
  return run.string(std::move(out));
}

Value indent(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'indent'", arguments, {"width", "first", "blank"});
  if (!self.is_string()) run.refuse_type("the filter 'indent'", self);
  std::string prefix = "    ";
  if (bound.has(0) && bound[0]->is_string()) {
    prefix = bound[0]->text();
  } else if (bound.has(0)) {
    const int64_t width = bound.integer(0);
    if (width > (1 << 16)) run.refuse("the filter 'indent' takes at most 65536 blanks");
    prefix.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const std::string text = self.text() + "\n";
  std::string out = bound.flag(1) ? prefix : "";
  bool is_first = true;
  for (const std::string_view line : split_lines(text, false)) {
    if (!is_first) {
      out += '\n';
      if (bound.flag(2) || !line.empty()) out += prefix;
    }
    out += line;
    run.spend(static_cast<int64_t>(line.size() + prefix.size()));
    run.check_output(static_cast<int64_t>(out.size()));
    is_first = false;
  }
  return run.string(std::move(out));
}

Value truncate(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'truncate'", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t limit = bound.integer(0, 255), leeway = bound.is_none(3) ? 5 : bound.integer(3);
  const std::string end = bound.has(2) ? bound.text(2) : "...";
  const auto end_length = static_cast<int64_t>(count_code_points(end));
  if (limit < end_length || leeway < 0)
    run.refuse("the filter 'truncate' needs a length of at least that of its end, and a leeway of at least 0");
  const int64_t n = length(run, self);
  if (n <= limit || n - leeway <= limit) return self;
  if (!self.is_string()) run.refuse_type("the filter 'truncate'", self);
  const std::string_view cut = characters_between(self.text(), 0, limit - end_length);
  if (bound.flag(1)) return run.string(std::string(cut) + end);
  return run.string(std::string(cut.substr(0, cut.rfind(' '))) + end);
}

Value wordcount(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'wordcount'", arguments, {});
  const std::string text = to_text(run, self);
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    const bool in_word = c == '_' || is_alpha(c) || is_decimal(c) || is_digit(c) || is_number(c);
    words += in_word && !inside ? 1 : 0;
    inside = in_word;
  }
  return words;
}

Value format(Run& run, const Value& self, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keywords.empty())
    run.refuse("the filter 'format' takes arguments all with names or all without");
  Value values;
  if (arguments.keywords.empty()) {
    values = run.tuple(arguments.positional);
  } else {
    values = run.make(new Dict, sizeof(Dict));
    for (const auto& [name, value] : arguments.keywords) run.add(values, run.string(std::string(name)), value);
  }
  return run.string(format_percent(run, to_text(run, self), values));
}

std::string url_quoted(const std::string& text, bool for_query) {
  constexpr std::string_view kSafe = "_.-~";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || kSafe.find(c) != std::string_view::npos || (c == '/' && !for_query))) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

Value urlencode(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'urlencode'", arguments, {});
  if (self.is_string() || !is_iterable(self)) return run.string(url_quoted(to_text(run, self), false));
  std::string out;
  Items items(run, self.is(Kind::kDict) ? run.view(self, View::What::kItems) : self, "the filter 'urlencode'");
  for (Value item; items.next(item);) {
    const std::vector<Value> pair = all_items(run, item, "the filter 'urlencode'");
    if (pair.size() != 2) run.refuse("the filter 'urlencode' takes pairs");
    if (!out.empty()) out += '&';
    out += url_quoted(to_text(run, pair[0]), true) + "=" + url_quoted(to_text(run, pair[1]), true);
  }
  return run.string(std::move(out));
}

Value tojson(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'tojson'", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.flag(0);
  style.sort_keys = bound.flag(3);
  if (!bound.is_none(1)) {
    style.has_indent = true;
    style.item_separator = ",";
    if (bound[1]->is_string()) {
      style.indent = bound[1]->text();
    } else {
      const int64_t width = bound.integer(1);
      if (width > 1024) run.refuse("the filter 'tojson' indents by at most 1024");
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
  }
  if (!bound.is_none(2)) {
    const std::vector<Value> separators = all_items(run, *bound[2], "the separators of the filter 'tojson'");
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string())
      run.refuse("the separators of the filter 'tojson' are two texts");
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  return run.string(to_json(run, self, style));
}

constexpr Builtin kFilters[] = {
    {"capitalize", change<to_capitalized>},
    {"center", center},
    {"format", format},
    {"indent", indent},
    {"join", join},
    {"lower", change<to_lower>},
    {"replace", replace},
    {"safe", safe},
    {"string", string},
    {"title", change<title, false>},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", change<to_upper>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace lockstep::text::jinja
