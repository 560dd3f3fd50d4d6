#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/jinja/arguments.h"
#include "text/jinja/characters.h"
#include "text/jinja/format.h"
#include "text/jinja/items.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_functions.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

constexpr int64_t kMaxWidth = 1 << 20;

const std::string& text_of(Run& run, const Value& self) {
  run.spend(static_cast<int64_t>(self.text().size()));
  return self.text();
}

template <std::string (*F)(std::string_view)>
Value change(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "this method of a text", arguments, {});
  return run.string(F(text_of(run, self)));
}

template <bool kLeft, bool kRight>
Value strip(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "strip()", arguments, {""});
  const std::string& text = text_of(run, self);
  return run.string(
      std::string(bound.is_none(0) ? strip_space(text, kLeft, kRight) : strip_characters(text, bound.text(0), kLeft, kRight)));
}

template <bool kFromRight>
Value split(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "split()", arguments, {"sep", "maxsplit"});
  const std::string& text = text_of(run, self);
  const int64_t limit = bound.integer(1, -1);
  if (!bound.is_none(0) && bound.text(0).empty()) run.refuse("split() by an empty text");
  const auto parts =
      bound.is_none(0) ? split_at_space(text, limit, kFromRight) : split_at(text, bound.text(0), limit, kFromRight);
  return run.list(strings(run, parts));
}

Value splitlines(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "splitlines()", arguments, {"keepends"});
  return run.list(strings(run, split_lines(text_of(run, self), bound.flag(0))));
}

Value join(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "join()", arguments, {""}, 1);
  std::string out;
  Items items(run, *bound[0], "join()");
  bool is_first = true;
  for (Value item; items.next(item); is_first = false) {
    if (!item.is_string()) run.refuse_type("join() takes texts", item);
    run.spend(static_cast<int64_t>(self.text().size() + item.text().size()));
    if (!is_first) out += self.text();
    out += item.text();
    run.check_output(static_cast<int64_t>(out.size()));
  }
  return run.string(std::move(out));
}

Value replace(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "replace()", arguments, {"", "", ""}, 2);
  return run.string(replace_text(run, text_of(run, self), bound.text(0), bound.text(1), bound.integer(2, -1)));
}

// The part of a text between the bounds of find(), count(), startswith(); no text where the first is behind its end.
struct Window {
  std::string_view text;
  int64_t offset = 0;  // in characters
  bool exists = true;
};
Window window(Run& run, const std::string& text, const Bound& bound, size_t first) {
  if (bound.is_none(first) && bound.is_none(first + 1)) return {text};
  const auto n = static_cast<int64_t>(count_code_points(text));
  int64_t start = bound.is_none(first) ? 0 : to_integer(run, *bound[first], "a bound");
  int64_t end = bound.is_none(first + 1) ? n : to_integer(run, *bound[first + 1], "a bound");
  if (start < 0) start = std::max<int64_t>(start + n, 0);
  if (end < 0) end = std::max<int64_t>(end + n, 0);
  end = std::min(end, n);
  if (start > end) return {"", 0, false};
  return {characters_between(text, start, end), start};
}

template <bool kFromRight, bool kMustExist>
Value find(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "find()", arguments, {"", "", ""}, 1);
  const Window w = window(run, text_of(run, self), bound, 1);
  const size_t at = !w.exists    ? std::string_view::npos
                    : kFromRight ? find_last_text(w.text, bound.text(0))
                                 : find_text(w.text, bound.text(0));
  if (at != std::string_view::npos) return w.offset + characters_before(w.text, at);
  if (kMustExist) run.refuse("index() of what is not in the text");
  return -1;
}

Value count(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "count()", arguments, {"", "", ""}, 1);
  const Window w = window(run, text_of(run, self), bound, 1);
  const std::string& needle = bound.text(0);
  if (!w.exists) return 0;
  if (needle.empty()) return static_cast<int64_t>(count_code_points(w.text)) + 1;
  int64_t n = 0;
  for (std::string_view rest = w.text;; ++n) {
    const size_t at = find_text(rest, needle);
    if (at == std::string_view::npos) return n;
    rest.remove_prefix(at + needle.size());
  }
}

template <bool kAtEnd>
Value has_affix(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, kAtEnd ? "endswith()" : "startswith()", arguments, {"", "", ""}, 1);
  const Window w = window(run, self.text(), bound, 1);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) run.refuse_type("startswith() and endswith() take a text or a tuple of texts", affix);
    run.spend(static_cast<int64_t>(affix.text().size()));
    return w.exists && (kAtEnd ? w.text.ends_with(affix.text()) : w.text.starts_with(affix.text()));
  };
  if (!bound[0]->is(Kind::kTuple)) return matches(*bound[0]);
  bool found = false;
  for (const Value& affix : bound[0]->items()) found = found || matches(affix);
  return found;
}

template <bool kAtEnd>
Value remove_affix(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "removeprefix() or removesuffix()", arguments, {""}, 1);
  const std::string &text = text_of(run, self), &affix = bound.text(0);
  if (affix.empty() || !(kAtEnd ? text.ends_with(affix) : text.starts_with(affix))) return self;
  return run.string(kAtEnd ? text.substr(0, text.size() - affix.size()) : text.substr(affix.size()));
}

template <char kAlign>
Value justify(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "center(), ljust() or rjust()", arguments, {"", ""}, 1);
  const std::string fill = bound.has(1) ? bound.text(1) : " ";
  if (count_code_points(fill) != 1) run.refuse("center(), ljust() and rjust() fill with one character");
  const int64_t width = bound.integer(0);
  if (width > kMaxWidth) run.refuse(fmt::format("a text is to be made wider than {} characters", kMaxWidth));
  return run.string(justified(text_of(run, self), width, fill, kAlign));
}

Value zfill(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "zfill()", arguments, {""}, 1);
  const std::string& text = text_of(run, self);
  const int64_t width = bound.integer(0);
  if (width > kMaxWidth) run.refuse(fmt::format("a text is to be made wider than {} characters", kMaxWidth));
  const int64_t missing = width - static_cast<int64_t>(count_code_points(text));
  if (missing <= 0) return self;
  const size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  return run.string(text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + text.substr(sign));
}

template <bool kFromRight>
Value partition(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "partition()", arguments, {""}, 1);
  const std::string &text = text_of(run, self), &separator = bound.text(0);
  if (separator.empty()) run.refuse("partition() by an empty text");
  const size_t at = kFromRight ? find_last_text(text, separator) : find_text(text, separator);
  if (at == std::string_view::npos) {
    std::vector<Value> whole = {self, run.string(""), run.string("")};
    if (kFromRight) std::swap(whole[0], whole[2]);
    return run.tuple(std::move(whole));
  }
  return run.tuple({run.string(text.substr(0, at)), *bound[0], run.string(text.substr(at + separator.size()))});
}

Value expand_tabs(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "expandtabs()", arguments, {"tabsize"});
  const int64_t size = bound.integer(0, 8);
  if (size > kMaxWidth) run.refuse(fmt::format("expandtabs() to more than {} characters", kMaxWidth));
  const std::string& text = text_of(run, self);
  std::string out;
  int64_t column = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (c == '\t') {
      const int64_t blanks = size > 0 ? size - column % size : 0;
      run.spend(blanks);
      out.append(static_cast<size_t>(blanks), ' ');
      column += blanks;
    } else {
      out.append(text, begin, i - begin);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return run.string(std::move(out));
}

// Whether there is a character and `kIs` holds for all.
template <bool (*kIs)(char32_t)>
Value all_are(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "this method of a text", arguments, {});
  const std::string& text = text_of(run, self);
  for (size_t i = 0; i < text.size();) {
    if (!kIs(next_code_point(text, i))) return false;
  }
  return !text.empty();
}
bool is_alphanumeric(char32_t c) { return is_alpha(c) || is_decimal(c) || is_digit(c) || is_number(c); }

Value is_ascii(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "isascii()", arguments, {});
  const std::string& text = text_of(run, self);
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
Value all_printable(Run& run, const Value& self, Arguments& arguments) {
  return self.text().empty() ? Value(true) : all_are<is_printable>(run, self, arguments);
}

template <bool kUpper>
Value has_case(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "islower() or isupper()", arguments, {});
  return kUpper ? is_upper_text(text_of(run, self)) : is_lower_text(text_of(run, self));
}

Value is_title_text(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "istitle()", arguments, {});
  const std::string& text = text_of(run, self);
  bool any = false, inside = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (is_upper(c) || is_title(c)) {
      if (inside) return false;
      any = inside = true;
    } else if (is_lower(c)) {
      if (!inside) return false;
      any = true;
    } else {
      inside = false;
    }
  }
  return any;
}

Value format(Run& run, const Value& self, Arguments& arguments) { return run.string(format_braces(run, self.text(), arguments)); }

Value format_map(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "format_map()", arguments, {""}, 1);
  if (!bound[0]->is(Kind::kDict)) run.refuse_type("format_map() takes a dict", *bound[0]);
  Arguments named;
  for (const auto& [key, value] : bound[0]->as<Dict>().entries) {
    if (key.is_string()) named.keywords.emplace_back(key.text(), value);
  }
  return run.string(format_braces(run, self.text(), named));
}

constexpr Builtin kMethods[] = {
    {"capitalize", change<to_capitalized>},
    {"casefold", change<fold_case>},
    {"center", justify<'^'>},
    {"count", count},
    {"encode", nullptr},
    {"endswith", has_affix<true>},
    {"expandtabs", expand_tabs},
    {"find", find<false, false>},
    {"format", format},
    {"format_map", format_map},
    {"index", find<false, true>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", is_ascii},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", nullptr},
    {"islower", has_case<false>},
    {"isnumeric", all_are<is_number>},
    {"isprintable", all_printable},
    {"isspace", all_are<is_space>},
    {"istitle", is_title_text},
    {"isupper", has_case<true>},
    {"join", join},
    {"ljust", justify<'<'>},
    {"lower", change<to_lower>},
    {"lstrip", strip<true, false>},
    {"maketrans", nullptr},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", justify<'>'>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<false>},
    {"strip", strip<true, true>},
    {"swapcase", change<swap_case>},
    {"title", change<to_title>},
    {"translate", nullptr},
    {"upper", change<to_upper>},
    {"zfill", zfill},
};

}  // namespace

std::span<const Builtin> string_methods() { return kMethods; }

}  // namespace lockstep::text::jinja
