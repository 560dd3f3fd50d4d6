// CharacterSet: what one position of a regular expression matches.
#pragma once

#include "text/code_point_set.h"

namespace lockstep::grammar {

// Where engines disagree (\d, \w and \s are ASCII in ECMAScript, all of Unicode in Python) we keep to what all of them match:
// `narrow` is what is generated, `wide` what some engine matches, which is what a negation leaves out.
struct CharacterSet {
  text::CodePointSet narrow;
  text::CodePointSet wide;

  static CharacterSet of(char32_t first, char32_t last);
  static CharacterSet digits();       // \d
  static CharacterSet words();        // \w
  static CharacterSet white_space();  // \s
  static CharacterSet all();
  static CharacterSet not_line_end();  // what a dot matches

  void unite(const CharacterSet& other);
  void negate();
  bool empty() const { return narrow.ranges().empty(); }
};

}  // namespace lockstep::grammar
