// Nfa: a nondeterministic automaton over bytes, built from its end to its beginning. It may call rules of a grammar.
//
// Every builder function takes the state that follows what it builds and returns the state that it begins with, so that
// `text("ab", repeat(…, end))` reads as the language does.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string_view>
#include <vector>

#include "grammar/budget.h"
#include "text/code_point_set.h"

namespace lockstep::grammar {

using RuleId = int32_t;
using NfaState = int32_t;

class Nfa {
 public:
  static constexpr int32_t kUnbounded = std::numeric_limits<int32_t>::max();

  struct ByteEdge {
    uint8_t low;
    uint8_t high;
    NfaState to;
  };
  struct Call {
    RuleId rule;
    NfaState to;
  };
  struct State {
    std::vector<NfaState> epsilons;
    std::vector<ByteEdge> bytes;
    std::vector<Call> calls;
  };

  // The automaton begins with one state, end(), the only one that accepts. budget must outlive this.
  explicit Nfa(Budget& budget);

  NfaState end() const { return 0; }
  const State& state(NfaState s) const { return states_[static_cast<size_t>(s)]; }
  size_t num_states() const { return states_.size(); }

  NfaState add_state();
  void add_epsilon(NfaState from, NfaState to) { states_[static_cast<size_t>(from)].epsilons.push_back(to); }

  NfaState byte_range(uint8_t low, uint8_t high, NfaState to);
  NfaState text(std::string_view bytes, NfaState to);
  NfaState call(RuleId rule, NfaState to);
  NfaState any_of(const std::vector<NfaState>& alternatives);  // none: a state that leads nowhere
  // `child`, which builds one occurrence before the state it is given, min to max times. It may be called any number of times.
  using Child = std::function<NfaState(NfaState to)>;
  NfaState repeat(int32_t min, int32_t max, const Child& child, NfaState to);
  NfaState optional(NfaState with, NfaState without) { return any_of({with, without}); }
  // One character of the set, in UTF-8.
  NfaState code_points(const text::CodePointSet& set, NfaState to);

 private:
  Budget& budget_;
  std::vector<State> states_;
};

}  // namespace lockstep::grammar
