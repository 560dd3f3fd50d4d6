// The scheduler is pure, so it is driven here by a simulator that plays device and users, checking invariants at each step.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

#include "base/error.h"

namespace lockstep {
namespace {

std::unique_ptr<Sequence> make_sequence(int64_t id, int64_t prompt_len, int64_t max_tokens) {
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  for (int64_t i = 0; i < prompt_len; ++i) sequence->tokens.push_back(static_cast<int32_t>(1000 + i));
  sequence->prompt_len = prompt_len;
  sequence->max_len = prompt_len + max_tokens;
  return sequence;
}

SchedulerLimits small_limits() {
  SchedulerLimits limits;
  limits.max_num_seqs = 4;
  limits.max_num_batched_tokens = 16;
  limits.max_model_len = 64;
  limits.block_size = 4;
  limits.num_blocks = 24;
  return limits;
}

TEST(Scheduler, ChunksALongPromptAndSamplesOnlyAtItsEnd) {
  Scheduler scheduler(small_limits());
  scheduler.add(make_sequence(0, 40, 4));
  for (const auto& [start, count, sample] : {std::tuple{0, 16, false}, {16, 16, false}, {32, 8, true}}) {
    const StepPlan plan = scheduler.schedule();
    ASSERT_EQ(plan.sequences.size(), 1u);
    EXPECT_EQ(plan.sequences[0].context_start, start);
    EXPECT_EQ(plan.sequences[0].tokens.size(), static_cast<size_t>(count));
    EXPECT_EQ(plan.sequences[0].sample, sample);
    EXPECT_EQ(scheduler.commit().size(), sample ? 1u : 0u);
  }
}

TEST(Scheduler, DecodesGoBeforePrefillChunks) {
  Scheduler scheduler(small_limits());
  scheduler.add(make_sequence(0, 3, 8));
  scheduler.schedule();
  scheduler.append(*scheduler.commit().at(0), 7);
  scheduler.add(make_sequence(1, 30, 4));
  const StepPlan plan = scheduler.schedule();
  ASSERT_EQ(plan.sequences.size(), 2u);
  EXPECT_EQ(plan.sequences[0].tokens, std::vector<int32_t>{-1});  // the token that the device sampled
  EXPECT_EQ(plan.sequences[0].output_index, 1);
  EXPECT_EQ(plan.sequences[1].tokens.size(), 15u);  // what is left of the budget of 16
}

TEST(Scheduler, RefusesWhatCanNeverRun) {
  Scheduler scheduler(small_limits());
  EXPECT_THROW(scheduler.add(make_sequence(0, 0, 1)), Error);
  EXPECT_THROW(scheduler.add(make_sequence(0, 64, 1)), Error);  // no room for a token in the context
  SchedulerLimits limits = small_limits();
  limits.num_blocks = 2;
  EXPECT_THROW(Scheduler(limits).add(make_sequence(0, 5, 4)), Error);  // 9 tokens need 3 blocks
}

TEST(Scheduler, StopsAtStopTokensAfterMinTokensAndAtLength) {
  Scheduler scheduler(small_limits());
  auto sequence = make_sequence(0, 2, 3);
  sequence->stop_tokens = {9};
  sequence->params.min_tokens = 1;
  scheduler.add(std::move(sequence));
  scheduler.schedule();
  Sequence& running = *scheduler.commit().at(0);
  scheduler.append(running, 9);
  EXPECT_EQ(running.finish, FinishReason::kNone);  // min_tokens not passed
  scheduler.append(running, 9);
  EXPECT_EQ(running.finish, FinishReason::kStop);
  running.finish = FinishReason::kNone;
  scheduler.append(running, 5);
  EXPECT_EQ(running.finish, FinishReason::kLength);
}

TEST(Scheduler, SchedulesWhatIsInFlightAsTheTokenThatTheDeviceSampledLast) {
  Scheduler scheduler(small_limits());
  auto sequence = make_sequence(0, 3, 3);
  sequence->stop_tokens = {9};
  scheduler.add(std::move(sequence));
  scheduler.schedule();
  const StepPlan second = scheduler.schedule();
  ASSERT_EQ(second.sequences.size(), 1u);
  EXPECT_EQ(second.sequences[0].tokens, std::vector<int32_t>{-1});
  EXPECT_EQ(second.sequences[0].context_start, 3);
  EXPECT_EQ(second.sequences[0].output_index, 1);
  EXPECT_EQ(scheduler.schedule().sequences.size(), 1u);
  EXPECT_TRUE(scheduler.schedule().sequences.empty()) << "three tokens are in flight, and there will be no fourth";
  Sequence& running = *scheduler.commit().at(0);
  scheduler.append(running, 9);
  ASSERT_EQ(running.finish, FinishReason::kStop);
  scheduler.remove(running);
  EXPECT_EQ(scheduler.commit(), std::vector<Sequence*>{nullptr}) << "what ran in vain";
  EXPECT_EQ(scheduler.commit(), std::vector<Sequence*>{nullptr});
  EXPECT_FALSE(scheduler.has_work());
  EXPECT_EQ(scheduler.blocks().num_free(), small_limits().num_blocks);
}

// Plays the device: keeps its own view of block tables and of what has been computed, and refuses plans that contradict it. Up to
// `depth` steps are in flight before the tokens of the oldest become known.
class Simulator {
 public:
  Simulator(const SchedulerLimits& limits, uint32_t seed, size_t depth)
      : limits_(limits), scheduler_(limits), random_(seed), depth_(depth) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (random_() % 3 == 0) arrive();
      this->step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    while (scheduler_.has_work() && !::testing::Test::HasFatalFailure()) this->step();
    while (!in_flight_.empty()) commit();
    EXPECT_EQ(finished_, arrived_);
    EXPECT_EQ(scheduler_.blocks().num_free(), limits_.num_blocks);
  }
  int64_t preemptions() const { return scheduler_.num_preemptions(); }
  int64_t stopped() const { return stopped_; }

 private:
  static constexpr int32_t kStop = 7;

  int64_t uniform(int64_t low, int64_t high) { return low + static_cast<int64_t>(random_()) % (high - low + 1); }

  void arrive() {
    const int64_t prompt = uniform(1, limits_.max_model_len / 2);
    auto sequence = make_sequence(arrived_++, prompt, uniform(1, limits_.max_model_len - prompt));
    if (random_() % 4 == 0) sequence->params.repetition_penalty = 1.5f;
    sequence->stop_tokens = {kStop};
    scheduler_.add(std::move(sequence));
  }

  void step() {
    while (in_flight_.size() < depth_) {
      const StepPlan plan = scheduler_.schedule();
      if (plan.sequences.empty()) {
        ASSERT_TRUE(!in_flight_.empty() || !scheduler_.has_work()) << "work waits but nothing runs";
        break;
      }
      take(plan);
      if (::testing::Test::HasFatalFailure()) return;
    }
    if (!in_flight_.empty()) commit();
  }

  void take(const StepPlan& plan) {
    ASSERT_LE(plan.num_tokens(), limits_.max_num_batched_tokens);
    for (const SlotSetup& setup : plan.setups) {
      tables_[setup.slot].clear();
      computed_[setup.slot] = 0;
    }
    for (const BlockAppend& append : plan.blocks) {
      ASSERT_EQ(append.index, static_cast<int32_t>(tables_[append.slot].size()));
      tables_[append.slot].push_back(append.block);
    }
    std::set<int32_t> slots, blocks;
    size_t samples = 0;
    for (const PlannedSequence& planned : plan.sequences) {
      ASSERT_TRUE(slots.insert(planned.slot).second) << "a slot runs twice in a step";
      ASSERT_LT(planned.slot, limits_.max_num_seqs);
      ASSERT_EQ(planned.context_start, computed_[planned.slot]) << "tokens skipped or computed twice";
      computed_[planned.slot] += static_cast<int64_t>(planned.tokens.size());
      ASSERT_LE(computed_[planned.slot], static_cast<int64_t>(tables_[planned.slot].size()) * limits_.block_size);
      ASSERT_LE(computed_[planned.slot], limits_.max_model_len);
      for (size_t i = 0; i < planned.tokens.size(); ++i) {
        ASSERT_TRUE(planned.tokens[i] >= 0 || (planned.sample && i + 1 == planned.tokens.size())) << "an unknown token";
      }
      for (const int32_t block : tables_[planned.slot])
        ASSERT_TRUE(blocks.insert(block).second) << "two sequences own block " << block;
      samples += planned.sample ? 1 : 0;
    }
    in_flight_.push_back(samples);
  }

  void commit() {
    const std::vector<Sequence*> sampled = scheduler_.commit();
    ASSERT_EQ(sampled.size(), in_flight_.front());
    in_flight_.pop_front();
    for (Sequence* sequence : sampled) {
      if (sequence == nullptr) continue;
      scheduler_.append(*sequence, static_cast<int32_t>(random_() % 100));
      if (sequence->finish == FinishReason::kNone) continue;
      ASSERT_LE(sequence->num_known(), sequence->max_len);
      if (sequence->num_known() < sequence->max_len) {
        ASSERT_EQ(sequence->tokens.back(), kStop);
        ++stopped_;
      }
      scheduler_.remove(*sequence);
      ++finished_;
    }
  }

  SchedulerLimits limits_;
  Scheduler scheduler_;
  std::mt19937 random_;
  size_t depth_;
  std::deque<size_t> in_flight_;  // how many sequences sample in each step
  std::map<int32_t, std::vector<int32_t>> tables_;
  std::map<int32_t, int64_t> computed_;
  int64_t arrived_ = 0, finished_ = 0, stopped_ = 0;
};

TEST(Scheduler, KeepsItsInvariantsUnderRandomLoad) {
  int64_t preemptions = 0, stopped = 0;
  for (const size_t depth : {1, 2, 3}) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
      SchedulerLimits limits = small_limits();
      limits.num_blocks = 16 + seed;  // one sequence of 64 tokens needs 16
      Simulator simulator(limits, seed, depth);
      simulator.run(1000);
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", " << depth << " steps in flight";
      preemptions += simulator.preemptions();
      stopped += simulator.stopped();
    }
  }
  EXPECT_GT(preemptions, 300) << "the load never ran out of blocks, so the test shows nothing";
  EXPECT_GT(stopped, 300) << "no sequence stopped before its length, so the test shows nothing";
}

}  // namespace
}  // namespace lockstep
