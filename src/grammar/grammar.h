// Grammar: rules that are deterministic automata over bytes and may call each other, so that brackets nest (a pushdown automaton,
// or a recursive transition network). Immutable.
//
// A rule that is called runs beside what the caller could do instead; where several are possible all are followed (see Stepper).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <vector>

#include "grammar/dfa.h"

namespace lockstep::grammar {

using StateId = int32_t;
inline constexpr StateId kNoState = -1;

class Grammar {
 public:
  struct Call {
    StateId start;  // of the rule that is called
    StateId to;     // where the caller goes on
  };

  StateId start() const { return start_; }
  int32_t num_states() const { return static_cast<int32_t>(states_.size()); }
  StateId step(StateId from, uint8_t byte) const {
    const State& s = states_[static_cast<size_t>(from)];
    return next_[s.row + rules_[s.rule].class_of[byte]];
  }
  bool accepts(StateId s) const { return states_[static_cast<size_t>(s)].accepting; }  // its rule may end here
  // It calls rules, or its rule may end: other threads begin here.
  bool branches(StateId s) const { return states_[static_cast<size_t>(s)].branches; }
  bool has_bytes(StateId s) const { return states_[static_cast<size_t>(s)].has_bytes; }
  std::span<const Call> calls(StateId s) const {
    const State& state = states_[static_cast<size_t>(s)];
    return {calls_.data() + state.calls_begin, state.calls_end - state.calls_begin};
  }
  // How many bytes lead on from here.
  int32_t fan_out(StateId s) const;

 private:
  friend class GrammarBuilder;
  struct State {
    uint32_t row = 0;  // in next_
    uint32_t rule = 0;
    uint32_t calls_begin = 0;
    uint32_t calls_end = 0;
    bool accepting = false;
    bool has_bytes = false;
    bool branches = false;
  };
  struct Rule {
    std::array<uint8_t, 256> class_of{};
  };

  std::vector<State> states_;
  std::vector<Rule> rules_;
  std::vector<StateId> next_;
  std::vector<Call> calls_;
  StateId start_ = kNoState;
};

// The bytes that some token of the vocabulary can stand for alone; others are left out of the language.
using Alphabet = std::bitset<256>;

class GrammarBuilder {
 public:
  RuleId add_rule();                    // to be set later, so that rules can call each other
  void set_rule(RuleId rule, Dfa dfa);  // of bytes and calls of other rules
  // What leads nowhere is removed, so that whatever follows the grammar can be brought to its end. Throws Error if nothing at all
  // is left, and for rules that call themselves before any byte.
  Grammar finish(RuleId root, const Alphabet& alphabet);

 private:
  void drop_bytes(const Alphabet& alphabet);
  void find_productive();
  void drop_dead();
  void refuse_left_recursion() const;

  std::vector<Dfa> rules_;
  std::vector<std::vector<bool>> productive_;  // [rule][state]: the end of the rule can be reached
};

}  // namespace lockstep::grammar
