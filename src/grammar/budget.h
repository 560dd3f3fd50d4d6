// Budget: what compiling one grammar may cost, so that a hostile one is refused instead of holding up everybody.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace lockstep::grammar {

class Budget {
 public:
  static constexpr int64_t kMaxNfaStates = 1 << 18;
  static constexpr int64_t kMaxDfaStates = 1 << 17;
  static constexpr int64_t kMaxTableEntries = int64_t{1} << 23;  // of transitions, 4 bytes each
  static constexpr int64_t kMaxWork = int64_t{1} << 24;          // entries of sets of states; about a quarter of a second

  // Each throws Error once the sum of all calls exceeds the bound.
  void use_nfa_state() {
    check(++nfa_states_ <= kMaxNfaStates, "the grammar needs more than {} states; use smaller repetition counts", kMaxNfaStates);
  }
  void use_dfa_state(int64_t num_classes) {
    check(++dfa_states_ <= kMaxDfaStates, "the grammar needs more than {} deterministic states; use smaller repetition counts",
          kMaxDfaStates);
    table_entries_ += num_classes;
    check(table_entries_ <= kMaxTableEntries,
          "the grammar needs a table of more than {} transitions; use smaller repetition counts", kMaxTableEntries);
  }
  void use_work(int64_t amount) {
    work_ += amount;
    check(work_ <= kMaxWork, "the grammar takes too long to compile; use smaller repetition counts or fewer alternatives");
  }

 private:
  int64_t nfa_states_ = 0;
  int64_t dfa_states_ = 0;
  int64_t table_entries_ = 0;
  int64_t work_ = 0;
};

}  // namespace lockstep::grammar
