// Sets of Unicode code points, for the set operations of regular expressions that PCRE2 does not have.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lockstep::text {

// Surrogates are never members: the texts are valid UTF-8.
class CodePointSet {
 public:
  CodePointSet() = default;
  CodePointSet(char32_t first, char32_t last) : ranges_{{first, last}} {}

  void append(char32_t first, char32_t last) { ranges_.emplace_back(first, last); }  // behind all members, with a gap
  void unite(const CodePointSet& other);
  void intersect(const CodePointSet& other);
  void complement();
  const std::vector<std::pair<char32_t, char32_t>>& ranges() const { return ranges_; }  // sorted, first and last of each
  // The members as ranges for the inside of a PCRE2 class: "\x{41}-\x{5A}\x{AA}"; empty when there are none.
  std::string pcre_members() const;

 private:
  std::vector<std::pair<char32_t, char32_t>> ranges_;  // sorted, apart from each other by at least one code point
};

}  // namespace lockstep::text
