// Scheduler: which sequences run in the next step, and with how many tokens. A pure object on rank 0: no device, no clock.
//
// First come, first served. Decoding sequences go before prefill chunks; a prompt longer than what is left of the token budget is
// computed in chunks. When KV blocks run out, the sequence admitted last is preempted: its blocks are freed and it is computed
// again, outputs included, once there is room.
//
// Steps may be scheduled before the tokens of earlier ones are known: such a token is scheduled as "what the device sampled
// last". A sequence that turns out to have ended has then run once more, in vain.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "cache/block_allocator.h"
#include "engine/sequence.h"
#include "engine/step_plan.h"

namespace lockstep {

struct SchedulerLimits {
  int32_t max_num_seqs = 256;
  int64_t max_num_batched_tokens = 8192;
  int64_t max_model_len = 0;
  int64_t block_size = 16;
  int64_t num_blocks = 0;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  // Takes a sequence with tokens, max_len and params set. Throws Error if it could never run (prompt longer than max_model_len -
  // 1 or than the KV pool), with the sizes.
  void add(std::unique_ptr<Sequence> sequence);

  bool has_work() const { return !waiting_.empty() || !running_.empty(); }
  // The next step's plan. Empty when there is no work, or all of it waits for tokens of steps in flight. The step is in flight
  // until commit().
  StepPlan schedule();
  // The oldest step in flight has run. Returns the sequences that have sampled in it, in the order of their rows; null for one
  // that has been removed meanwhile.
  std::vector<Sequence*> commit();
  // Appends a sampled token and sets `finish` if it ends the sequence (stop token, length).
  void append(Sequence& sequence, int32_t token);
  // Forgets a sequence that runs or waits, and frees its blocks and slot; the object is handed back.
  std::unique_ptr<Sequence> remove(Sequence& sequence);

  const BlockAllocator& blocks() const { return blocks_; }
  size_t num_running() const { return running_.size(); }
  size_t num_waiting() const { return waiting_.size(); }
  int64_t num_preemptions() const { return num_preemptions_; }

 private:
  struct Scheduled {
    Sequence* sequence;
    int64_t count;
  };
  // Schedules up to `budget` tokens of a running sequence, preempting younger ones for blocks. False: it was preempted itself.
  bool schedule_running(Sequence& sequence, int64_t& budget, StepPlan& plan);
  void grow_blocks(Sequence& sequence, int64_t length, StepPlan& plan);
  void preempt(Sequence& victim, int64_t& budget, StepPlan& plan);
  void admit(int64_t& budget, StepPlan& plan);
  PlannedSequence plan_sequence(Sequence& sequence, int64_t count) const;
  // Takes a sequence out of running_, with its blocks and slot.
  std::unique_ptr<Sequence> stop(Sequence& sequence);
  int64_t blocks_for(int64_t length) const { return (length + limits_.block_size - 1) / limits_.block_size; }

  SchedulerLimits limits_;
  BlockAllocator blocks_;
  std::vector<int32_t> free_slots_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in order of admission
  std::vector<Scheduled> scheduled_;                // in the step that is being made
  std::deque<std::vector<Sequence*>> in_flight_;    // of each step, oldest first, those that sample
  int64_t step_ = 0;
  int64_t num_preemptions_ = 0;
};

}  // namespace lockstep
