#include "engine/mask_table.h"

#include "base/error.h"

namespace lockstep {

int32_t MaskTable::place(const grammar::TokenMask& mask, StepPlan& plan) {
  if (const auto found = by_id_.find(mask.id); found != by_id_.end()) {
    entries_[found->second].last_step = plan.step;
    return static_cast<int32_t>(found->second);
  }
  const size_t start = hand_;
  while (entries_[hand_].last_step == plan.step) {
    hand_ = (hand_ + 1) % entries_.size();
    check(hand_ != start, "step {} needs more than {} masks", plan.step, entries_.size());
  }
  Entry& entry = entries_[hand_];
  by_id_.erase(entry.id);
  entry = {mask.id, plan.step};
  by_id_[mask.id] = hand_;
  MaskUpdate& update = plan.masks.emplace_back();
  update.index = static_cast<int32_t>(hand_);
  update.words.assign(mask.words.begin(), mask.words.end());
  hand_ = (hand_ + 1) % entries_.size();
  return update.index;
}

}  // namespace lockstep
