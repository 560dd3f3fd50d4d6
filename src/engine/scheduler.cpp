#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace lockstep {
namespace {

SlotSetup make_setup(const Sequence& sequence) {
  SlotSetup setup;
  setup.slot = sequence.slot;
  SlotSampling& s = setup.sampling;
  const SamplingParams& p = sequence.params;
  s.seed = sequence.seed;
  s.temperature = p.temperature;
  s.top_k = p.top_k;
  s.top_p = p.top_p;
  s.min_p = p.min_p;
  s.repetition_penalty = p.repetition_penalty;
  s.presence_penalty = p.presence_penalty;
  s.frequency_penalty = p.frequency_penalty;
  s.logprobs = p.logprobs;
  s.min_tokens = p.min_tokens;
  if (p.min_tokens > 0) s.stop_tokens = sequence.stop_tokens;
  if (sequence.num_outputs() > 0) setup.last_token = sequence.tokens.back();
  if (s.has_penalty()) {
    const auto outputs = sequence.tokens.begin() + sequence.prompt_len;
    setup.prompt.assign(sequence.tokens.begin(), outputs);
    setup.outputs.assign(outputs, sequence.tokens.end());
  }
  return setup;
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits), blocks_(limits.num_blocks) {
  check(limits.max_num_seqs > 0 && limits.max_num_batched_tokens > 0 && limits.max_model_len > 0 && limits.block_size > 0,
        "scheduler limits must be positive: max_num_seqs {}, max_num_batched_tokens {}, max_model_len {}, block_size {}",
        limits.max_num_seqs, limits.max_num_batched_tokens, limits.max_model_len, limits.block_size);
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
  waiting_.push_back(std::move(sequence));
}

StepPlan Scheduler::schedule() {
  StepPlan plan;
  plan.step = step_++;
  int64_t budget = limits_.max_num_batched_tokens;
  // Two passes, so that a long prefill never holds up those that decode. Index loops: preemption shortens running_.
  for (const bool decoding : {true, false}) {
    for (size_t i = 0; i < running_.size() && budget > 0;) {
      Sequence& sequence = *running_[i];
      if (sequence.num_pending > 0 && sequence.length() >= sequence.max_len) {  // will end with what is in flight
        ++i;
        continue;
      }
      if ((sequence.length() - sequence.num_computed == 1) != decoding || schedule_running(sequence, budget, plan)) ++i;
    }
  }
  admit(budget, plan);
  std::vector<Sequence*>& sampling = in_flight_.emplace_back();
  for (const Scheduled& s : scheduled_) {
    plan.sequences.push_back(plan_sequence(*s.sequence, s.count));
    s.sequence->num_computed += s.count;
    if (plan.sequences.back().sample) {
      sampling.push_back(s.sequence);
      ++s.sequence->num_pending;
    }
  }
  scheduled_.clear();
  if (plan.sequences.empty()) in_flight_.pop_back();
  return plan;
}

PlannedSequence Scheduler::plan_sequence(Sequence& sequence, int64_t count) const {
  PlannedSequence planned;
  planned.slot = sequence.slot;
  planned.context_start = static_cast<int32_t>(sequence.num_computed);
  planned.output_index = static_cast<int32_t>(sequence.num_outputs());
  planned.sample = sequence.num_computed + count == sequence.length();
  for (int64_t i = sequence.num_computed; i < sequence.num_computed + count; ++i) {
    planned.tokens.push_back(i < sequence.num_known() ? sequence.tokens[static_cast<size_t>(i)] : -1);
  }
  // The device knows the token that it sampled last.
  if (planned.sample && sequence.num_outputs() > 0) planned.tokens.back() = -1;
  return planned;
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

void Scheduler::grow_blocks(Sequence& sequence, int64_t length, StepPlan& plan) {
  while (static_cast<int64_t>(sequence.blocks.size()) < blocks_for(length)) {
    const int32_t block = blocks_.allocate();
    plan.blocks.push_back({sequence.slot, static_cast<int32_t>(sequence.blocks.size()), block});
    sequence.blocks.push_back(block);
  }
}

void Scheduler::preempt(Sequence& victim, int64_t& budget, StepPlan& plan) {
  const auto scheduled =
      std::find_if(scheduled_.begin(), scheduled_.end(), [&](const Scheduled& s) { return s.sequence == &victim; });
  if (scheduled != scheduled_.end()) {
    budget += scheduled->count;
    scheduled_.erase(scheduled);
  }
  std::erase_if(plan.blocks, [&](const BlockAppend& append) { return append.slot == victim.slot; });
  victim.num_computed = 0;
  ++num_preemptions_;
  waiting_.push_front(stop(victim));
}

void Scheduler::admit(int64_t& budget, StepPlan& plan) {
  while (!waiting_.empty() && budget > 0 && !free_slots_.empty()) {
    Sequence& sequence = *waiting_.front();
    if (sequence.num_pending > 0) break;  // preempted with a token in flight
    // Room for all it has and the token to come: a sequence that only fits in part would soon preempt or be preempted.
    if (blocks_for(std::min(sequence.length() + 1, sequence.max_len)) > blocks_.num_free()) break;
    sequence.slot = free_slots_.back();
    free_slots_.pop_back();
    plan.setups.push_back(make_setup(sequence));
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    const int64_t count = std::min(sequence.length(), budget);
    grow_blocks(sequence, count, plan);
    scheduled_.push_back({&sequence, count});
    budget -= count;
  }
}

std::vector<Sequence*> Scheduler::commit() {
  check(!in_flight_.empty(), "a step is committed, but none is in flight");
  std::vector<Sequence*> sampled = std::move(in_flight_.front());
  in_flight_.pop_front();
  return sampled;
}

void Scheduler::append(Sequence& sequence, int32_t token) {
  sequence.tokens.push_back(token);
  if (sequence.num_pending > 0) --sequence.num_pending;
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
  std::unique_ptr<Sequence> stopped = std::move(*it);
  running_.erase(it);
  for (const int32_t block : stopped->blocks) blocks_.release(block);
  stopped->blocks.clear();
  free_slots_.push_back(stopped->slot);
  stopped->slot = -1;
  return stopped;
}

std::unique_ptr<Sequence> Scheduler::remove(Sequence& sequence) {
  for (std::vector<Sequence*>& step : in_flight_)
    std::replace(step.begin(), step.end(), &sequence, static_cast<Sequence*>(nullptr));
  if (sequence.slot >= 0) return stop(sequence);
  const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& s) { return s.get() == &sequence; });
  check(it != waiting_.end(), "sequence {} is removed but neither runs nor waits", sequence.id);
  std::unique_ptr<Sequence> removed = std::move(*it);
  waiting_.erase(it);
  return removed;
}

}  // namespace lockstep
