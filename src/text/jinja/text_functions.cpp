#include "text/jinja/text_functions.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/characters.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

std::string_view strip_characters(std::string_view text, std::string_view characters, bool left, bool right) {
  std::vector<char32_t> set;
  for (size_t i = 0; i < characters.size();) set.push_back(next_code_point(characters, i));
  std::sort(set.begin(), set.end());
  while (left && !text.empty()) {
    size_t next = 0;
    if (!std::binary_search(set.begin(), set.end(), next_code_point(text, next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    const size_t last = previous_character(text, text.size());
    size_t next = last;
    if (!std::binary_search(set.begin(), set.end(), next_code_point(text, next))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<std::string_view> split_at_space(std::string_view text, int64_t limit, bool from_right) {
  std::vector<std::string_view> parts;
  for (;;) {
    text = strip_space(text, !from_right, from_right);
    if (text.empty()) break;
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(text);
      break;
    }
    // The word at the end where we cut.
    size_t cut = from_right ? text.size() : 0;
    while (from_right ? cut > 0 : cut < text.size()) {
      const size_t begin = from_right ? previous_character(text, cut) : cut;
      size_t next = begin;
      if (is_space(next_code_point(text, next))) break;
      cut = from_right ? begin : next;
    }
    parts.push_back(from_right ? text.substr(cut) : text.substr(0, cut));
    text = from_right ? text.substr(0, cut) : text.substr(cut);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, int64_t limit, bool from_right) {
  std::vector<std::string_view> parts;
  if (!from_right) {
    while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
      const size_t at = find_text(text, separator);
      if (at == std::string_view::npos) break;
      parts.push_back(text.substr(0, at));
      text.remove_prefix(at + separator.size());
    }
    parts.push_back(text);
    return parts;
  }
  // Backwards, in a mirrored copy.
  const std::string mirrored(text.rbegin(), text.rend()), mirrored_separator(separator.rbegin(), separator.rend());
  for (const std::string_view part : split_at(mirrored, mirrored_separator, limit, false)) {
    const auto begin = static_cast<size_t>(part.data() - mirrored.data());
    parts.push_back(text.substr(text.size() - begin - part.size(), part.size()));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines.push_back(text.substr(start, (keep_ends ? i : begin) - start));
    start = i;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

std::string replace_text(Run& run, std::string_view text, std::string_view old, std::string_view now, int64_t count) {
  std::string out;
  const auto add = [&](std::string_view part) {
    run.spend(static_cast<int64_t>(part.size()));
    out += part;
    if (out.size() > (1 << 26)) run.refuse("a text grows beyond all measure; the limit is 67108864 bytes");
  };
  int64_t done = 0;
  if (old.empty()) {  // before each character and at the end
    for (size_t i = 0; i <= text.size();) {
      if (count < 0 || done < count) {
        add(now);
        ++done;
      }
      const size_t length = i < text.size() ? utf8_length(text[i]) : 1;
      if (i < text.size()) add(text.substr(i, length));
      i += length;
    }
    return out;
  }
  while (count < 0 || done < count) {
    const size_t at = find_text(text, old);
    if (at == std::string_view::npos) break;
    add(text.substr(0, at));
    add(now);
    text.remove_prefix(at + old.size());
    ++done;
  }
  add(text);
  return out;
}

std::string justified(std::string_view text, int64_t width, std::string_view fill, char align) {
  const int64_t missing = width - static_cast<int64_t>(count_code_points(text));
  if (missing <= 0) return std::string(text);
  const int64_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

bool is_lower_text(std::string_view text) {
  bool any = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (is_upper(c) || is_title(c)) return false;
    any = any || is_lower(c);
  }
  return any;
}

bool is_upper_text(std::string_view text) {
  bool any = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (is_lower(c) || is_title(c)) return false;
    any = any || is_upper(c);
  }
  return any;
}

Value keep_markup(const Value& from, Value made) {
  if (!from.is_string() || !from.as<String>().is_markup) return made;
  if (made.is_string()) made.as<String>().is_markup = true;
  if (made.is_sequence()) {
    for (const Value& part : made.items()) keep_markup(from, part);
  }
  return made;
}

std::vector<Value> strings(Run& run, const std::vector<std::string_view>& parts) {
  std::vector<Value> out;
  out.reserve(parts.size());
  for (const std::string_view part : parts) out.push_back(run.string(std::string(part)));
  return out;
}

}  // namespace lockstep::text::jinja
