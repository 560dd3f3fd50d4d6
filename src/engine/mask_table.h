// MaskTable: rank 0's knowledge of which masks of allowed tokens the ranks keep, so that each is sent once and named afterwards.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "engine/step_plan.h"
#include "grammar/compiled_grammar.h"

namespace lockstep {

class MaskTable {
 public:
  // size: masks that the ranks keep; at least one more than a step needs.
  explicit MaskTable(int32_t size) : entries_(static_cast<size_t>(size)) {}

  // The number of the mask in the table; where the ranks do not have it, the plan tells them.
  int32_t place(const grammar::TokenMask& mask, StepPlan& plan);

 private:
  struct Entry {
    uint64_t id = 0;         // 0: none
    int64_t last_step = -1;  // that needed it
  };
  std::vector<Entry> entries_;
  std::unordered_map<uint64_t, size_t> by_id_;
  size_t hand_ = 0;  // where the search for one to replace goes on: the clock algorithm, with the step as the bit of use
};

}  // namespace lockstep
