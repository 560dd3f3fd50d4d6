// Scheduler: which sequences run in the next step, and with how many tokens. A pure object on rank 0: no device, no clock.
//
// Higher priority first, then first come, first served. Decoding sequences go before prefill chunks; a prompt longer than what is
// left of the token budget is computed in chunks. When KV blocks run out, the sequence that is last in rank is preempted: its
// blocks are freed and it is computed again, outputs included, once there is room. The first in rank is never preempted and gets
// tokens in every step, so all finish; one that does not fit holds up those behind it, so none is passed by smaller ones forever.
//
// Full blocks are shared: a sequence begins after the longest run of blocks that the pool knows for its tokens. Blocks become
// known once the step that computes them is scheduled, for later steps run after it. A sequence that needs what this very step
// computes for another waits for it, so that the continuations of one prompt compute it once.
//
// Steps may be scheduled before the tokens of earlier ones are known: such a token is scheduled as "what the device sampled
// last". A sequence that turns out to have ended has then run once more, in vain. One that needs the host waits for its token.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cache/block_pool.h"
#include "engine/sequence.h"
#include "engine/step_plan.h"

namespace lockstep {

struct SchedulerLimits {
  int32_t max_num_seqs = 256;
  int64_t max_num_batched_tokens = 8192;
  int64_t max_model_len = 0;
  int64_t block_size = 16;
  int64_t num_blocks = 0;
  // Steps after which the sequence that has waited longest goes first, whatever its priority; one in as many steps.
  int64_t patience = 256;
};

struct SchedulerStats {
  int64_t num_running = 0;
  int64_t num_waiting = 0;
  int64_t num_blocks = 0;
  int64_t num_blocks_used = 0;
  int64_t num_preemptions = 0;  // since the start, as are:
  int64_t prefix_queries = 0;   // tokens of sequences that looked for shared blocks when they were first admitted
  int64_t prefix_hits = 0;      // of them, tokens in blocks that were found
};

// The log-probabilities of the prompt's tokens at positions `first` to first + count - 1 that a step has computed.
struct PromptPart {
  Sequence* sequence = nullptr;  // null: removed meanwhile
  int64_t first = 0;
  int64_t count = 0;
};

struct CommittedStep {
  std::vector<Sequence*> sampled;   // in the order of their rows; null: removed meanwhile
  std::vector<PromptPart> prompts;  // in the order of the step
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  // Takes a sequence with an id of its own and what stands above the scheduler's own in Sequence. Throws Error if it could never
  // run (prompt longer than max_model_len - 1 or than the KV pool), with the sizes.
  void add(std::unique_ptr<Sequence> sequence);

  bool has_work() const { return !by_id_.empty(); }
  // The next step's plan. Empty when there is no work, or all of it waits for tokens of steps in flight. The step is in flight
  // until commit().
  StepPlan schedule();
  // The sequences that choose a token in the last step scheduled, in the order of its plan.
  const std::vector<Sequence*>& sampling() const { return in_flight_.back().sampled; }
  // The oldest step in flight has run.
  CommittedStep commit();
  // Appends a sampled token and sets `finish` if it ends the sequence (stop token, length).
  void append(Sequence& sequence, int32_t token);
  // Forgets a sequence that runs or waits, and frees its blocks and slot; the object is handed back.
  std::unique_ptr<Sequence> remove(Sequence& sequence);

  // Null for one that is not here (any more).
  Sequence* find(int64_t id) const;
  // Those whose deadline is before `now`.
  std::vector<Sequence*> expired(std::chrono::steady_clock::time_point now) const;

  const BlockPool& blocks() const { return blocks_; }
  SchedulerStats stats() const;

 private:
  struct Scheduled {
    Sequence* sequence;
    int64_t count;
  };
  // Hashes of blocks that the step being made computes.
  using InProgress = std::unordered_set<BlockHash>;

  void advance_the_oldest();
  // Schedules up to `budget` tokens of a running sequence, preempting those behind it for blocks. False: it was preempted itself.
  bool schedule_running(Sequence& sequence, int64_t& budget, StepPlan& plan);
  void append_block(Sequence& sequence, int32_t block, StepPlan& plan);
  void grow_blocks(Sequence& sequence, int64_t length, StepPlan& plan);
  void preempt(Sequence& victim, int64_t& budget, StepPlan& plan);

  void admit(int64_t& budget, StepPlan& plan);
  bool admit_one(Sequence& sequence, const std::vector<int32_t>& cached, int64_t& budget, StepPlan& plan);
  // Blocks that the sequence can begin with; at least one token remains to be computed.
  std::vector<int32_t> find_prefix(Sequence& sequence);
  void note_in_progress(const Scheduled& scheduled, InProgress& in_progress);
  void hash_blocks(Sequence& sequence);
  void publish(Sequence& sequence);

  void finish_plan(StepPlan& plan);
  PlannedSequence plan_sequence(Sequence& sequence, int64_t count) const;
  void wait_in_line(std::unique_ptr<Sequence> sequence);
  // Takes a sequence out of running_, with its blocks and slot.
  std::unique_ptr<Sequence> stop(Sequence& sequence);
  int64_t blocks_for(int64_t length) const { return (length + limits_.block_size - 1) / limits_.block_size; }

  SchedulerLimits limits_;
  BlockPool blocks_;
  BlockHasher hasher_;
  std::vector<int32_t> free_slots_;
  std::unordered_map<int64_t, Sequence*> by_id_;
  std::map<Rank, std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;                                 // by rank
  std::set<std::pair<std::chrono::steady_clock::time_point, int64_t>> deadlines_;  // and ids
  std::vector<Scheduled> scheduled_;                                               // in the step that is being made
  std::deque<CommittedStep> in_flight_;                                            // oldest first
  int64_t step_ = 0;
  int64_t num_arrived_ = 0;
  int64_t last_advance_ = 0;  // step of the last advance_the_oldest()
  int64_t num_preemptions_ = 0;
  int64_t prefix_queries_ = 0, prefix_hits_ = 0;
};

}  // namespace lockstep
