#include "text/unicode.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/unicode_additions.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

template <typename T, size_t N>
const T* find(const T (&table)[N], char32_t c) {
  const auto* it =
      std::upper_bound(std::begin(table), std::end(table), c, [](char32_t value, const T& a) { return value < a.first; });
  return it != std::begin(table) && c <= std::prev(it)->last ? std::prev(it) : nullptr;
}

// General category of two letters; "Cn" where neither utf8proc nor our table knows the character.
std::string_view category_of(char32_t c) {
  const auto code = static_cast<utf8proc_int32_t>(c);
  if (utf8proc_category(code) != UTF8PROC_CATEGORY_CN) return utf8proc_category_string(code);
  const UnicodeAddition* added = find(kUnicodeAdditions, c);
  return added == nullptr ? "Cn" : added->category;
}

std::string class_range(const UnicodeAddition& a) {
  return a.first == a.last ? fmt::format("\\x{{{:X}}}", a.first) : fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", a.first, a.last);
}

bool in_range(char32_t c, char32_t first, char32_t last) { return first <= c && c <= last; }

}  // namespace

bool is_white_space(char32_t c) {
  return in_range(c, 0x09, 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || in_range(c, 0x2000, 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return in_range(c, '0', '9');
  return category_of(c)[0] == 'N' || find(kUnicode17Numbers, c) != nullptr;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return in_range(c, '!', '/') || in_range(c, ':', '@') || in_range(c, '[', '`') || in_range(c, '{', '~');
  if (c == 0x166D || c == 0x111C9) return true;  // they were once
  return category_of(c)[0] == 'P' && find(kUnicodeAdditions, c) == nullptr && find(kNewerThanPunctuation, c) == nullptr;
}

bool is_mark(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1CF2 || c == 0x1CF3) return true;  // they were once
  return category_of(c)[0] == 'M' && find(kUnicodeAdditions, c) == nullptr && find(kNewerThanStrippedMarks, c) == nullptr;
}

void append_lowercase(std::string& out, char32_t c) {
  if (c == 0x130) {
    out += "i\xCC\x87";
    return;
  }
  const auto lower = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  const auto* newer = lower == c ? find(kNewerLowercase, c) : nullptr;
  append_code_point(out, newer == nullptr ? lower : c + newer->offset);
}

bool is_word(char32_t c) {
  if (c < 0x80) return in_range(c, 'a', 'z') || in_range(c, 'A', 'Z') || in_range(c, '0', '9') || c == '_';
  const std::string_view category = category_of(c);
  if (category[0] == 'L' || category[0] == 'M' || category == "Nd" || category == "Nl" || category == "Pc") return true;
  // Other_Alphabetic beyond marks (circled and squared letters), and Join_Control.
  return in_range(c, 0x24B6, 0x24E9) || in_range(c, 0x1F130, 0x1F149) || in_range(c, 0x1F150, 0x1F169) ||
         in_range(c, 0x1F170, 0x1F189) || c == 0x200C || c == 0x200D;
}

bool is_newer_than_normalization(char32_t c) {
  return find(kNewerThanNormalization, c) != nullptr || find(kUnicodeAdditions, c) != nullptr;
}

std::string newer_characters(std::string_view category) {
  std::string out;
  for (const UnicodeAddition& a : kUnicodeAdditions) {
    if (a.category.starts_with(category)) out += class_range(a);
  }
  return out;
}

std::string newer_characters_of_script(std::string_view script) {
  std::string out;
  for (const UnicodeAddition& a : kScriptAdditions) {
    if (a.category == script) out += class_range(a);
  }
  return out;
}

}  // namespace lockstep::text
