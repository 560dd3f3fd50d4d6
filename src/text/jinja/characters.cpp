#include "text/jinja/characters.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "text/jinja/case_tables.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }
bool in_range(char32_t c, char32_t first, char32_t last) { return first <= c && c <= last; }

const SpecialCase* find_special(char32_t c) {
  if (c < 0xDF) return nullptr;
  const auto* it = std::lower_bound(std::begin(kSpecialCases), std::end(kSpecialCases), c,
                                    [](const SpecialCase& special, char32_t value) { return special.c < value; });
  return it != std::end(kSpecialCases) && it->c == c ? it : nullptr;
}

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (const SpecialCase* special = find_special(c)) {
    out += special->upper;
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (const SpecialCase* special = find_special(c)) {
    out += special->title;
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

bool is_cased(char32_t c) { return is_lower(c) || is_upper(c) || is_title(c); }

// The property Case_Ignorable.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: break;
  }
  return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x387 || c == 0x559 || c == 0x55F || c == 0x5F4 || c == 0x2018 ||
         c == 0x2019 || c == 0x2024 || c == 0x2027 || c == 0xFE13 || c == 0xFE52 || c == 0xFE55 || c == 0xFF07 || c == 0xFF0E ||
         c == 0xFF1A;
}

constexpr char32_t kCapitalSigma = 0x3A3;

// A sigma is final where a cased letter is before it and none behind it, case-ignorable characters left out (Unicode,
// Final_Sigma).
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  bool before = false;
  for (size_t i = begin; i > 0;) {
    i = previous_character(text, i);
    size_t next = i;
    const char32_t c = next_code_point(text, next);
    if (is_case_ignorable(c)) continue;
    before = is_cased(c);
    break;
  }
  if (!before) return false;
  for (size_t i = end; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (!is_case_ignorable(c)) return !is_cased(c);
  }
  return true;
}

// The character at text[begin, end).
void append_lower(std::string& out, std::string_view text, size_t begin, size_t end, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else if (c == kCapitalSigma) {
    append_code_point(out, is_final_sigma(text, begin, end) ? 0x3C2 : 0x3C3);
  } else if (c == 0x130) {
    out += "i\xCC\x87";
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

// Calls f(c, begin, end) for each character of text.
template <typename F>
void for_each_character(std::string_view text, const F& f) {
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    f(c, begin, i);
  }
}

}  // namespace

bool is_space(char32_t c) { return is_white_space(c) || in_range(c, 0x1C, 0x1F); }

bool is_alpha(char32_t c) {
  if (c < 0x80) return in_range(c | 32U, 'a', 'z');
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return c < 0x80 ? in_range(c, '0', '9') : category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  if (is_decimal(c)) return true;
  // Numeric_Type=Digit: superscripts, subscripts, circled and the like.
  return c == 0xB2 || c == 0xB3 || c == 0xB9 || in_range(c, 0x1369, 0x1371) || c == 0x19DA || c == 0x2070 ||
         in_range(c, 0x2074, 0x2079) || in_range(c, 0x2080, 0x2089) || in_range(c, 0x2460, 0x2468) ||
         in_range(c, 0x2474, 0x247C) || in_range(c, 0x2488, 0x2490) || c == 0x24EA || in_range(c, 0x24F5, 0x24FD) ||
         c == 0x24FF || in_range(c, 0x2776, 0x277E) || in_range(c, 0x2780, 0x2788) || in_range(c, 0x278A, 0x2792) ||
         in_range(c, 0x10A40, 0x10A43) || in_range(c, 0x10E60, 0x10E68) || in_range(c, 0x11052, 0x1105A) ||
         in_range(c, 0x1F100, 0x1F10A);
}

bool is_number(char32_t c) {
  if (c < 0x80) return in_range(c, '0', '9');
  const utf8proc_category_t kind = category(c);
  if (kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO) return true;
  // Ideographs that are numbers, of those in use.
  constexpr std::u32string_view kIdeographs =
      U"〇一七万三九二五亿仟伍佰億兆八六十千四壱壹幺廾廿弌弍弎弐弑拾捌柒漆玖百萬貮貳贰阡陆陌陸零叁参參叄肆";
  return kIdeographs.find(c) != std::u32string_view::npos;
}

bool is_lower(char32_t c) {
  if (c < 0x80) return in_range(c, 'a', 'z');
  if (category(c) == UTF8PROC_CATEGORY_LL) return true;
  return c == 0xAA || c == 0xBA || in_range(c, 0x2B0, 0x2B8) || c == 0x2C0 || c == 0x2C1 || in_range(c, 0x2E0, 0x2E4) ||
         c == 0x345 || c == 0x37A || in_range(c, 0x1D2C, 0x1D6A) || c == 0x1D78 || in_range(c, 0x1D9B, 0x1DBF) || c == 0x2071 ||
         c == 0x207F || in_range(c, 0x2090, 0x209C) || in_range(c, 0x2170, 0x217F) || in_range(c, 0x24D0, 0x24E9) ||
         c == 0x2C7C || c == 0x2C7D || c == 0xA69C || c == 0xA69D || c == 0xA770 || c == 0xA7F8 || c == 0xA7F9 ||
         in_range(c, 0xAB5C, 0xAB5F) || c == 0x10780 || in_range(c, 0x10783, 0x10785) || in_range(c, 0x10787, 0x107B0) ||
         in_range(c, 0x107B2, 0x107BA);
}

bool is_upper(char32_t c) {
  if (c < 0x80) return in_range(c, 'A', 'Z');
  return category(c) == UTF8PROC_CATEGORY_LU || in_range(c, 0x2160, 0x216F) || in_range(c, 0x24B6, 0x24CF) ||
         in_range(c, 0x1F130, 0x1F149) || in_range(c, 0x1F150, 0x1F169) || in_range(c, 0x1F170, 0x1F189);
}

bool is_title(char32_t c) { return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_LT; }

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](char32_t c, size_t begin, size_t end) { append_lower(out, text, begin, end, c); });
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](char32_t c, size_t, size_t) { append_upper(out, c); });
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  bool inside = false;
  for_each_character(text, [&](char32_t c, size_t begin, size_t end) {
    inside ? append_lower(out, text, begin, end, c) : append_title(out, c);
    inside = is_cased(c);
  });
  return out;
}

std::string to_capitalized(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, size_t begin, size_t end) {
    begin == 0 ? append_title(out, c) : append_lower(out, text, begin, end, c);
  });
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, size_t begin, size_t end) {
    if (is_upper(c)) {
      append_lower(out, text, begin, end, c);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      append_code_point(out, c);
    }
  });
  return out;
}

std::string fold_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, size_t, size_t) {
    utf8proc_int32_t folded[8];
    int boundary = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, 8, UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < n; ++i) append_code_point(out, static_cast<char32_t>(folded[i]));
  });
  return out;
}

std::string_view strip_space(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    size_t next = 0;
    if (!is_space(next_code_point(text, next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    const size_t last = previous_character(text, text.size());
    size_t next = last;
    if (!is_space(next_code_point(text, next))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view characters_between(std::string_view text, int64_t first, int64_t last) {
  size_t begin = 0;
  for (int64_t i = 0; i < first; ++i) begin += utf8_length(text[begin]);
  size_t end = begin;
  for (int64_t i = first; i < last; ++i) end += utf8_length(text[end]);
  return text.substr(begin, end - begin);
}

int64_t characters_before(std::string_view text, size_t byte) {
  return static_cast<int64_t>(count_code_points(text.substr(0, byte)));
}

size_t find_text(std::string_view text, std::string_view needle) {
  if (needle.empty()) return 0;
  // string_view::find takes time proportional to the product of the lengths.
  const void* at = ::memmem(text.data(), text.size(), needle.data(), needle.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

size_t find_last_text(std::string_view text, std::string_view needle) {
  // Searched backwards in mirrored copies, in linear time.
  const std::string mirrored(text.rbegin(), text.rend()), mirrored_needle(needle.rbegin(), needle.rend());
  const size_t at = find_text(mirrored, mirrored_needle);
  return at == std::string_view::npos ? at : text.size() - at - needle.size();
}

}  // namespace lockstep::text::jinja
