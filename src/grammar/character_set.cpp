#include "grammar/character_set.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"

namespace lockstep::grammar {
namespace {

using text::CodePointSet;

constexpr char32_t kLast = 0x10FFFF;

template <typename Property>
CodePointSet collect(const Property& has) {
  CodePointSet set;
  char32_t first = 0;
  bool inside = false;
  for (char32_t c = 0; c <= kLast + 1; ++c) {
    const bool member = c <= kLast && (c < 0xD800 || c > 0xDFFF) && has(c);
    if (member && !inside) first = c;
    if (!member && inside) set.append(first, c - 1);
    inside = member;
  }
  return set;
}

// The tables take a while to make and are the same for all.
const CodePointSet& unicode_words() {
  static const CodePointSet set =
      collect([](char32_t c) { return text::is_word(c) || text::is_numeric(c); });  // Python counts all that is numeric
  return set;
}
const CodePointSet& unicode_digits() {
  static const CodePointSet set = collect(text::is_numeric);
  return set;
}
const CodePointSet& unicode_white_space() {
  // Python adds the separators U+001C to U+001F, ECMAScript the byte order mark.
  static const CodePointSet set =
      collect([](char32_t c) { return text::is_white_space(c) || (c >= 0x1C && c <= 0x1F) || c == 0xFEFF; });
  return set;
}

}  // namespace

CharacterSet CharacterSet::of(char32_t first, char32_t last) {
  CodePointSet set;
  if (first < 0xD800) set.append(first, std::min<char32_t>(last, 0xD7FF));
  if (last > 0xDFFF) set.append(std::max<char32_t>(first, 0xE000), last);
  return {set, set};
}
CharacterSet CharacterSet::digits() { return {{'0', '9'}, unicode_digits()}; }
CharacterSet CharacterSet::words() {
  CharacterSet set = of('0', '9');
  for (const auto& [first, last] : {std::pair('A', 'Z'), std::pair('_', '_'), std::pair('a', 'z')}) {
    set.unite(of(static_cast<char32_t>(first), static_cast<char32_t>(last)));
  }
  set.wide = unicode_words();
  return set;
}
CharacterSet CharacterSet::white_space() {
  CharacterSet set = of('\t', '\r');
  set.unite(of(' ', ' '));
  set.wide = unicode_white_space();
  return set;
}
CharacterSet CharacterSet::all() { return of(0, kLast); }
CharacterSet CharacterSet::not_line_end() {
  CharacterSet set = of('\n', '\n');
  // ECMAScript's dot stops at these, too.
  for (const char32_t c : {U'\r', U'\u2028', U'\u2029'}) set.wide.unite(CodePointSet(c, c));
  set.negate();
  return set;
}

void CharacterSet::unite(const CharacterSet& other) {
  narrow.unite(other.narrow);
  wide.unite(other.wide);
}

void CharacterSet::negate() {
  std::swap(narrow, wide);
  narrow.complement();
  wide.complement();
}

}  // namespace lockstep::grammar
