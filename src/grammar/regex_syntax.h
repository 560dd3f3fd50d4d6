// The syntax of regular expressions as JSON schemas and users of vLLM and outlines write them, read into a tree.
//
// Literals, `.`, classes with ranges, negation, escapes and \d \w \s \D \W \S; \t \n \r \f \v \0 \xHH \uHHHH \u{H…} \U00000000
// and escaped punctuation; groups (plain, (?:…) and named); alternation; ? * + {m} {m,} {m,n} {,n}, also with a lazy "?" behind
// them, which makes no difference to a language; ^ $ \A \Z \z. Not regular, and refused: look-around, back-references. Refused
// too: word boundaries, inline flags, \p{…}, POSIX classes, set operations in classes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/character_set.h"

namespace lockstep::grammar {

struct RegexNode {
  enum class Kind { kCharacter, kSequence, kAlternatives, kRepeat, kStart, kEnd };
  Kind kind = Kind::kSequence;
  CharacterSet characters;                           // of kCharacter
  std::vector<std::unique_ptr<RegexNode>> children;  // of kSequence, kAlternatives, kRepeat (one)
  int32_t min = 0;                                   // of kRepeat
  int32_t max = 0;                                   // Nfa::kUnbounded: any number
};

// pattern: UTF-8. Throws Error naming what is wrong and the place, in bytes.
std::unique_ptr<RegexNode> parse_regex(std::string_view pattern);

// The pattern that matches `text` and nothing else.
std::string escape_regex(std::string_view text);

}  // namespace lockstep::grammar
