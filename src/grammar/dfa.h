// Dfa: a deterministic automaton over bytes and calls of rules.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "grammar/budget.h"
#include "grammar/nfa.h"

namespace lockstep::grammar {

struct Dfa {
  static constexpr int32_t kDead = -1;
  struct Call {
    RuleId rule;
    int32_t to;
  };

  // Bytes that no state tells apart share a column of the table.
  std::array<uint8_t, 256> class_of{};
  int32_t num_classes = 0;
  std::vector<int32_t> next;  // [states, classes]; kDead: the byte is not allowed
  std::vector<bool> accepting;
  std::vector<std::vector<Call>> calls;  // by state, each rule once
  // State 0 is the first.

  int32_t num_states() const { return static_cast<int32_t>(accepting.size()); }
  int32_t step(int32_t state, uint8_t byte) const {
    return next[static_cast<size_t>(state) * static_cast<size_t>(num_classes) + class_of[byte]];
  }
  // Whether the whole of `bytes` is in the language. Only for automata without calls.
  bool matches(std::string_view bytes) const;
};

// The subset construction. Throws Error when the budget is used up.
Dfa determinise(const Nfa& nfa, NfaState start, Budget& budget);

// What both accept; neither may have calls.
Dfa intersect(const Dfa& a, const Dfa& b, Budget& budget);

}  // namespace lockstep::grammar
