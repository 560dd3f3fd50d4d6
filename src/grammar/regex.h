// Regular expressions as automata over the UTF-8 of what they match.
#pragma once

#include <string_view>

#include "grammar/nfa.h"
#include "grammar/regex_syntax.h"

namespace lockstep::grammar {

enum class Match {
  kWhole,   // the pattern matches from the first character to the last; anchors at its ends mean nothing
  kSearch,  // something that matches stands somewhere in the text, as `pattern` of JSON schemas wants it
};

// How one character of the set is written: builds it before `to`. For text that is quoted.
using WriteCharacters = std::function<NfaState(Nfa&, const text::CodePointSet&, NfaState to)>;
NfaState write_plain(Nfa& nfa, const text::CodePointSet& set, NfaState to);

// Throws Error for an anchor in the middle, which could never match or says nothing, and when the budget is used up.
NfaState build_regex(Nfa& nfa, const RegexNode& regex, Match match, const WriteCharacters& write, NfaState to);

}  // namespace lockstep::grammar
