#include "engine/scheduler.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "engine/slot_setup.h"

namespace lockstep {
namespace {

// Log-probabilities of a prompt need all of it computed.
bool may_use_others(const Sequence& sequence) {
  return sequence.shares_blocks && (sequence.params.prompt_logprobs < 0 || sequence.num_outputs() > 0);
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits), blocks_(limits.num_blocks) {
  check(limits.max_num_seqs > 0 && limits.max_num_batched_tokens > 0 && limits.max_model_len > 0 && limits.block_size > 0 &&
            limits.patience > 0,
        "scheduler limits must be positive: max_num_seqs {}, max_num_batched_tokens {}, max_model_len {}, block_size {}, "
        "patience {}",
        limits.max_num_seqs, limits.max_num_batched_tokens, limits.max_model_len, limits.block_size, limits.patience);
  for (int32_t slot = limits.max_num_seqs - 1; slot >= 0; --slot) free_slots_.push_back(slot);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  const int64_t length = sequence->length();
  check(length > 0, "the prompt has no tokens; give at least one");
  check(length < limits_.max_model_len,
        "the prompt has {} tokens; with one to produce it exceeds the context of {} (--max-model-len)", length,
        limits_.max_model_len);
  check(blocks_for(sequence->max_len) <= blocks_.num_blocks(),
        "a sequence of {} tokens needs {} KV blocks of {} tokens, the pool has {}; lower --max-tokens or raise the KV memory",
        sequence->max_len, blocks_for(sequence->max_len), limits_.block_size, blocks_.num_blocks());
  check(by_id_.emplace(sequence->id, sequence.get()).second, "sequence {} is added twice", sequence->id);
  sequence->rank = {.waited_long = false, .priority = sequence->priority, .arrival = num_arrived_++};
  sequence->arrival_step = step_;
  if (sequence->deadline) deadlines_.emplace(*sequence->deadline, sequence->id);
  wait_in_line(std::move(sequence));
}

void Scheduler::wait_in_line(std::unique_ptr<Sequence> sequence) {
  const Rank rank = sequence->rank;
  waiting_.emplace(rank, std::move(sequence));
}

StepPlan Scheduler::schedule() {
  StepPlan plan;
  plan.step = step_++;
  advance_the_oldest();
  int64_t budget = limits_.max_num_batched_tokens;
  // Two passes, so that a long prefill never holds up those that decode. Index loops: preemption shortens running_.
  for (const bool decoding : {true, false}) {
    for (size_t i = 0; i < running_.size() && budget > 0;) {
      Sequence& sequence = *running_[i];
      // Will end with what is in flight, or cannot go on without it.
      if (sequence.num_pending > 0 && (sequence.length() >= sequence.max_len || sequence.needs_host)) {
        ++i;
        continue;
      }
      if ((sequence.length() - sequence.num_computed == 1) != decoding || schedule_running(sequence, budget, plan)) ++i;
    }
  }
  admit(budget, plan);
  finish_plan(plan);
  return plan;
}

void Scheduler::advance_the_oldest() {
  if (waiting_.size() < 2 || step_ - last_advance_ < limits_.patience) return;
  last_advance_ = step_;
  const auto oldest = std::min_element(waiting_.begin(), waiting_.end(),
                                       [](const auto& a, const auto& b) { return a.first.arrival < b.first.arrival; });
  Sequence& sequence = *oldest->second;
  if (step_ - sequence.arrival_step < limits_.patience) return;
  sequence.rank.waited_long = true;
  auto node = waiting_.extract(oldest);
  node.key() = sequence.rank;
  waiting_.insert(std::move(node));
}

bool Scheduler::schedule_running(Sequence& sequence, int64_t& budget, StepPlan& plan) {
  const int64_t count = std::min(sequence.length() - sequence.num_computed, budget);
  const int64_t missing = blocks_for(sequence.num_computed + count) - static_cast<int64_t>(sequence.blocks.size());
  while (missing > blocks_.num_free()) {
    Sequence& victim = *running_.back();
    const bool itself = &victim == &sequence;
    preempt(victim, budget, plan);
    if (itself) return false;
  }
  grow_blocks(sequence, sequence.num_computed + count, plan);
  scheduled_.push_back({&sequence, count});
  budget -= count;
  return true;
}

void Scheduler::append_block(Sequence& sequence, int32_t block, StepPlan& plan) {
  plan.blocks.push_back({sequence.slot, static_cast<int32_t>(sequence.blocks.size()), block});
  sequence.blocks.push_back(block);
}

void Scheduler::grow_blocks(Sequence& sequence, int64_t length, StepPlan& plan) {
  while (static_cast<int64_t>(sequence.blocks.size()) < blocks_for(length)) append_block(sequence, blocks_.allocate(), plan);
}

void Scheduler::preempt(Sequence& victim, int64_t& budget, StepPlan& plan) {
  const auto scheduled =
      std::find_if(scheduled_.begin(), scheduled_.end(), [&](const Scheduled& s) { return s.sequence == &victim; });
  if (scheduled != scheduled_.end()) {
    budget += scheduled->count;
    scheduled_.erase(scheduled);
  }
  std::erase_if(plan.blocks, [&](const BlockAppend& append) { return append.slot == victim.slot; });
  ++num_preemptions_;
  wait_in_line(stop(victim));
}

void Scheduler::admit(int64_t& budget, StepPlan& plan) {
  if (waiting_.empty() || budget <= 0 || free_slots_.empty()) return;
  InProgress in_progress;
  for (const Scheduled& s : scheduled_) note_in_progress(s, in_progress);
  int32_t num_deferred = 0;
  for (auto next = waiting_.begin(); next != waiting_.end() && budget > 0 && !free_slots_.empty();) {
    Sequence& sequence = *next->second;
    if (sequence.num_pending > 0) break;  // preempted with a token in flight
    const std::vector<int32_t> cached = find_prefix(sequence);
    const bool wants_more = may_use_others(sequence) && cached.size() < sequence.hashes.size() &&
                            in_progress.count(sequence.hashes[cached.size()]) > 0;
    // What others compute for it is a block more with every step, so that this ends.
    if (wants_more && sequence.num_deferrals < blocks_for(sequence.length())) {
      ++sequence.num_deferrals;
      if (++num_deferred == limits_.max_num_seqs) break;  // do not look through a long line of the like in every step
      ++next;
      continue;
    }
    if (!admit_one(sequence, cached, budget, plan)) break;
    const auto place = std::upper_bound(running_.begin(), running_.end(), sequence.rank,
                                        [](const Rank& rank, const auto& other) { return rank < other->rank; });
    running_.insert(place, std::move(next->second));
    next = waiting_.erase(next);
    note_in_progress(scheduled_.back(), in_progress);
  }
}

bool Scheduler::admit_one(Sequence& sequence, const std::vector<int32_t>& cached, int64_t& budget, StepPlan& plan) {
  // Room for all it has and the token to come: a sequence that only fits in part would soon preempt or be preempted.
  const auto num_cached = static_cast<int64_t>(cached.size());
  int64_t needed = blocks_for(std::min(sequence.length() + 1, sequence.max_len)) - num_cached;
  for (const int32_t block : cached) needed += blocks_.num_users(block) == 0 ? 1 : 0;
  if (needed > blocks_.num_free()) return false;
  sequence.slot = free_slots_.back();
  free_slots_.pop_back();
  plan.setups.push_back(make_slot_setup(sequence));
  for (const int32_t block : cached) {
    blocks_.acquire(block);
    append_block(sequence, block, plan);
  }
  sequence.num_computed = num_cached * limits_.block_size;
  sequence.num_published = num_cached;
  if (sequence.num_cached < 0) {
    sequence.num_cached = sequence.num_computed;
    if (may_use_others(sequence)) {
      prefix_queries_ += sequence.length();
      prefix_hits_ += sequence.num_computed;
    }
  }
  const int64_t count = std::min(sequence.length() - sequence.num_computed, budget);
  grow_blocks(sequence, sequence.num_computed + count, plan);
  scheduled_.push_back({&sequence, count});
  budget -= count;
  return true;
}

std::vector<int32_t> Scheduler::find_prefix(Sequence& sequence) {
  std::vector<int32_t> cached;
  if (sequence.shares_blocks) hash_blocks(sequence);  // also for others to wait for
  if (!may_use_others(sequence)) return cached;
  const int64_t most = (sequence.length() - 1) / limits_.block_size;
  for (int64_t i = 0; i < most; ++i) {
    const int32_t block = blocks_.find(sequence.hashes[static_cast<size_t>(i)]);
    if (block < 0) break;
    cached.push_back(block);
  }
  return cached;
}

void Scheduler::note_in_progress(const Scheduled& scheduled, InProgress& in_progress) {
  const Sequence& sequence = *scheduled.sequence;
  if (!sequence.shares_blocks || scheduled.count == 1) return;  // a decoding sequence's blocks are seldom another's
  const int64_t end = std::min(blocks_for(sequence.num_computed + scheduled.count), static_cast<int64_t>(sequence.hashes.size()));
  for (int64_t i = sequence.num_computed / limits_.block_size; i < end; ++i) {
    in_progress.insert(sequence.hashes[static_cast<size_t>(i)]);
  }
}

void Scheduler::hash_blocks(Sequence& sequence) {
  const auto full = static_cast<size_t>(sequence.num_known() / limits_.block_size);
  const auto size = static_cast<size_t>(limits_.block_size);
  while (sequence.hashes.size() < full) {
    const BlockHash parent = sequence.hashes.empty() ? hasher_.root(sequence.variant) : sequence.hashes.back();
    const std::span<const int32_t> tokens(sequence.tokens.data() + sequence.hashes.size() * size, size);
    sequence.hashes.push_back(hasher_.block(parent, tokens));
  }
}

void Scheduler::publish(Sequence& sequence) {
  if (!sequence.shares_blocks) return;
  const int64_t full = std::min(sequence.num_known(), sequence.num_computed) / limits_.block_size;
  if (sequence.num_published >= full) return;
  hash_blocks(sequence);
  for (; sequence.num_published < full; ++sequence.num_published) {
    const auto i = static_cast<size_t>(sequence.num_published);
    blocks_.publish(sequence.blocks[i], sequence.hashes[i]);
  }
}

void Scheduler::finish_plan(StepPlan& plan) {
  if (scheduled_.empty()) return;
  CommittedStep& step = in_flight_.emplace_back();
  plan.sequences.reserve(scheduled_.size());
  for (const auto& [sequence, count] : scheduled_) {
    plan.sequences.push_back(plan_sequence(*sequence, count));
    const PlannedSequence& planned = plan.sequences.back();
    if (planned.prompt_logprobs > 0) step.prompts.push_back({sequence, sequence->num_computed + 1, planned.prompt_logprobs});
    sequence->num_computed += count;
    if (planned.sample) {
      step.sampled.push_back(sequence);
      ++sequence->num_pending;
    }
    publish(*sequence);
  }
  scheduled_.clear();
}

PlannedSequence Scheduler::plan_sequence(Sequence& sequence, int64_t count) const {
  PlannedSequence planned;
  planned.slot = sequence.slot;
  planned.context_start = static_cast<int32_t>(sequence.num_computed);
  planned.output_index = static_cast<int32_t>(sequence.num_outputs());
  planned.sample = sequence.num_computed + count == sequence.length();
  planned.tokens.reserve(static_cast<size_t>(count));
  for (int64_t i = sequence.num_computed; i < sequence.num_computed + count; ++i) {
    planned.tokens.push_back(i < sequence.num_known() ? sequence.tokens[static_cast<size_t>(i)] : -1);
  }
  // The device knows the token that it sampled last.
  if (planned.sample && sequence.num_outputs() > 0) planned.tokens.back() = -1;
  if (sequence.params.prompt_logprobs >= 0 && sequence.num_outputs() == 0) {
    const int64_t end = std::min(sequence.num_computed + count, sequence.prompt_len - 1);
    planned.prompt_logprobs = static_cast<int32_t>(end - sequence.num_computed);
    if (planned.prompt_logprobs == count) planned.next_token = sequence.tokens[static_cast<size_t>(end)];
  }
  return planned;
}

CommittedStep Scheduler::commit() {
  check(!in_flight_.empty(), "a step is committed, but none is in flight");
  CommittedStep step = std::move(in_flight_.front());
  in_flight_.pop_front();
  return step;
}

void Scheduler::append(Sequence& sequence, int32_t token) {
  sequence.tokens.push_back(token);
  if (sequence.num_pending > 0) --sequence.num_pending;
  publish(sequence);
  const auto& stops = sequence.stop_tokens;
  const int64_t num_outputs = sequence.num_known() - sequence.prompt_len;
  if (std::find(stops.begin(), stops.end(), token) != stops.end() && num_outputs > sequence.params.min_tokens) {
    sequence.finish = FinishReason::kStop;
  } else if (sequence.num_known() >= sequence.max_len) {
    sequence.finish = FinishReason::kLength;
  }
}

std::unique_ptr<Sequence> Scheduler::stop(Sequence& sequence) {
  const auto it = std::find_if(running_.begin(), running_.end(), [&](const auto& s) { return s.get() == &sequence; });
  check(it != running_.end(), "sequence {} in slot {} does not run", sequence.id, sequence.slot);
  std::unique_ptr<Sequence> stopped = std::move(*it);
  running_.erase(it);
  // The last first, so that the beginning, which more sequences share, is kept longest.
  for (auto block = stopped->blocks.rbegin(); block != stopped->blocks.rend(); ++block) blocks_.release(*block);
  stopped->blocks.clear();
  stopped->num_computed = 0;
  stopped->num_published = 0;
  free_slots_.push_back(stopped->slot);
  stopped->slot = -1;
  return stopped;
}

std::unique_ptr<Sequence> Scheduler::remove(Sequence& sequence) {
  check(find(sequence.id) == &sequence, "sequence {} is removed but neither runs nor waits", sequence.id);
  by_id_.erase(sequence.id);
  if (sequence.deadline) deadlines_.erase({*sequence.deadline, sequence.id});
  for (CommittedStep& step : in_flight_) {
    std::replace(step.sampled.begin(), step.sampled.end(), &sequence, static_cast<Sequence*>(nullptr));
    for (PromptPart& part : step.prompts) {
      if (part.sequence == &sequence) part.sequence = nullptr;
    }
  }
  if (sequence.slot >= 0) return stop(sequence);
  return std::move(waiting_.extract(sequence.rank).mapped());
}

Sequence* Scheduler::find(int64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::vector<Sequence*> Scheduler::expired(std::chrono::steady_clock::time_point now) const {
  std::vector<Sequence*> late;
  for (auto it = deadlines_.begin(); it != deadlines_.end() && it->first < now; ++it) late.push_back(find(it->second));
  return late;
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats;
  stats.num_running = static_cast<int64_t>(running_.size());
  stats.num_waiting = static_cast<int64_t>(waiting_.size());
  stats.num_blocks = blocks_.num_blocks();
  stats.num_blocks_used = blocks_.num_blocks() - blocks_.num_free();
  stats.num_preemptions = num_preemptions_;
  stats.prefix_queries = prefix_queries_;
  stats.prefix_hits = prefix_hits_;
  return stats;
}

}  // namespace lockstep
