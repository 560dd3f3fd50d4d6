// What the scheduler does in cases that can be told; scheduler_simulation_test.cpp drives it through random ones.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <tuple>

#include "base/error.h"
#include "engine/slot_setup.h"

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
    EXPECT_EQ(scheduler.commit().sampled.size(), sample ? 1u : 0u);
  }
}

TEST(Scheduler, DecodesGoBeforePrefillChunks) {
  Scheduler scheduler(small_limits());
  scheduler.add(make_sequence(0, 3, 8));
  scheduler.schedule();
  scheduler.append(*scheduler.commit().sampled.at(0), 7);
  scheduler.add(make_sequence(1, 30, 4));
  const StepPlan plan = scheduler.schedule();
  ASSERT_EQ(plan.sequences.size(), 2u);
  EXPECT_EQ(plan.sequences[0].tokens, std::vector<int32_t>{-1});  // the token that the device sampled
  EXPECT_EQ(plan.sequences[0].output_index, 1);
  EXPECT_EQ(plan.sequences[1].tokens.size(), 15u);  // what is left of the budget of 16
}

// What logits differ by, divided by so little, would be infinite for many tokens, of which the lowest id would win.
TEST(Scheduler, TakesTheLikeliestTokenWhereTheTemperatureIsNextToNothing) {
  const std::vector<std::pair<float, float>> cases{{1e-42f, 0.0f}, {1e-38f, 0.0f}, {9e-6f, 0.0f}, {1e-5f, 1e-5f}, {0.7f, 0.7f}};
  for (const auto& [asked, used] : cases) {
    const auto sequence = make_sequence(0, 3, 1);
    sequence->params.temperature = asked;
    EXPECT_EQ(make_slot_setup(*sequence).sampling.temperature, used) << asked;
  }
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
  Sequence& running = *scheduler.commit().sampled.at(0);
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
  Sequence& running = *scheduler.commit().sampled.at(0);
  scheduler.append(running, 9);
  ASSERT_EQ(running.finish, FinishReason::kStop);
  scheduler.remove(running);
  EXPECT_EQ(scheduler.commit().sampled, std::vector<Sequence*>{nullptr}) << "what ran in vain";
  EXPECT_EQ(scheduler.commit().sampled, std::vector<Sequence*>{nullptr});
  EXPECT_FALSE(scheduler.has_work());
  EXPECT_EQ(scheduler.blocks().num_free(), small_limits().num_blocks);
}

// The same, whose blocks may be shared: prompts begin alike.
std::unique_ptr<Sequence> make_sharing(int64_t id, int64_t prompt_len, int64_t max_tokens) {
  auto sequence = make_sequence(id, prompt_len, max_tokens);
  sequence->shares_blocks = true;
  return sequence;
}

TEST(Scheduler, BeginsAfterTheBlocksThatAreKnown) {
  Scheduler scheduler(small_limits());
  scheduler.add(make_sharing(0, 10, 2));
  const StepPlan first = scheduler.schedule();
  ASSERT_EQ(first.blocks.size(), 3u);
  scheduler.add(make_sharing(1, 13, 2));  // the same beginning
  scheduler.add(make_sharing(2, 8, 2));
  auto other = make_sharing(3, 8, 2);
  other->variant = "another adapter";
  scheduler.add(std::move(other));
  const StepPlan second = scheduler.schedule();
  ASSERT_EQ(second.sequences.size(), 4u);  // the first one decodes
  EXPECT_EQ(second.sequences[1].context_start, 8);
  EXPECT_EQ(second.sequences[1].tokens.size(), 5u);
  EXPECT_EQ(second.blocks[0].block, first.blocks[0].block);
  EXPECT_EQ(second.blocks[1].block, first.blocks[1].block);
  EXPECT_EQ(second.sequences[2].context_start, 4) << "one token must be computed, and blocks are shared whole";
  EXPECT_EQ(second.sequences[3].context_start, 0) << "what else changes K and V differs";
  EXPECT_EQ(scheduler.stats().prefix_hits, 12);
  EXPECT_EQ(scheduler.stats().prefix_queries, 10 + 13 + 8 + 8);
}

TEST(Scheduler, WaitsForWhatTheStepComputesForAnother) {
  Scheduler scheduler(small_limits());
  scheduler.add(make_sharing(0, 9, 1));
  scheduler.add(make_sharing(1, 9, 1));
  scheduler.add(make_sequence(2, 3, 1));  // shares nothing, and need not wait
  const StepPlan first = scheduler.schedule();
  ASSERT_EQ(first.sequences.size(), 2u);
  EXPECT_EQ(first.sequences[1].tokens.size(), 3u);
  const StepPlan second = scheduler.schedule();
  ASSERT_EQ(second.sequences.size(), 1u);
  EXPECT_EQ(second.sequences[0].context_start, 8);
}

TEST(Scheduler, RecomputesWhatWasPreemptedFromWhatIsStillKnown) {
  SchedulerLimits limits = small_limits();
  limits.num_blocks = 6;  // the two need 4 each in the end
  Scheduler scheduler(limits);
  for (int64_t id = 0; id < 2; ++id) {
    auto sequence = make_sharing(id, 8, 8);
    sequence->tokens[0] = static_cast<int32_t>(id);
    scheduler.add(std::move(sequence));
    scheduler.schedule();
    for (Sequence* sampled : scheduler.commit().sampled) scheduler.append(*sampled, 5);
  }
  Sequence* second = scheduler.find(1);
  while (scheduler.stats().num_preemptions == 0) {
    ASSERT_FALSE(scheduler.schedule().sequences.empty());
    for (Sequence* sampled : scheduler.commit().sampled) scheduler.append(*sampled, 5);
  }
  EXPECT_LT(second->slot, 0) << "the younger gives way";
  scheduler.remove(*scheduler.find(0));
  const StepPlan plan = scheduler.schedule();
  ASSERT_EQ(plan.sequences.size(), 1u);
  EXPECT_GE(plan.sequences[0].context_start, 4) << "its blocks were free, but hardly any was needed for others";
}

TEST(Scheduler, HigherPriorityGoesFirstButNotForever) {
  SchedulerLimits limits = small_limits();
  limits.max_num_seqs = 1;
  limits.patience = 20;
  Scheduler scheduler(limits);
  auto low = make_sequence(0, 4, 1);
  low->priority = -1;
  int64_t next_id = 2;
  scheduler.add(std::move(low));
  scheduler.add(make_sequence(1, 4, 1));
  int64_t steps = 0;
  for (; scheduler.find(0) != nullptr && steps < 1000; ++steps) {
    scheduler.add(make_sequence(next_id++, 4, 1));
    scheduler.schedule();
    Sequence& ran = *scheduler.commit().sampled.at(0);
    EXPECT_TRUE(steps > 0 || ran.id == 1);
    scheduler.remove(ran);
  }
  EXPECT_GE(steps, limits.patience);
  EXPECT_LE(steps, 2 * limits.patience + 1);
}

TEST(Scheduler, KnowsWhoseTimeIsUp) {
  using Clock = std::chrono::steady_clock;
  Scheduler scheduler(small_limits());
  const Clock::time_point now = Clock::now();
  for (int64_t id = 0; id < 4; ++id) {
    auto sequence = make_sequence(id, 4, 4);
    if (id > 0) sequence->deadline = now + std::chrono::seconds(id);
    scheduler.add(std::move(sequence));
  }
  scheduler.schedule();
  EXPECT_TRUE(scheduler.expired(now + std::chrono::seconds(1)).empty());
  scheduler.remove(*scheduler.find(2));
  const std::vector<Sequence*> late = scheduler.expired(now + std::chrono::seconds(9));
  EXPECT_EQ(late, (std::vector<Sequence*>{scheduler.find(1), scheduler.find(3)}));
}

TEST(Scheduler, PlansTheLogProbabilitiesOfAPromptOnceAndInOrder) {
  SchedulerLimits limits = small_limits();
  Scheduler scheduler(limits);
  scheduler.add(make_sharing(0, 20, 2));
  scheduler.schedule();
  scheduler.schedule();
  auto sequence = make_sharing(1, 20, 3);
  sequence->params.prompt_logprobs = 0;
  scheduler.add(std::move(sequence));
  const StepPlan first = scheduler.schedule();
  ASSERT_EQ(first.sequences.size(), 2u);
  EXPECT_EQ(first.sequences[1].context_start, 0) << "all of the prompt must be computed";
  EXPECT_EQ(first.sequences[1].tokens.size(), 15u);
  EXPECT_EQ(first.sequences[1].prompt_logprobs, 15);
  EXPECT_EQ(first.sequences[1].next_token, 1015);
  const StepPlan second = scheduler.schedule();
  ASSERT_EQ(second.sequences.size(), 1u) << "the first sequence ends with what is in flight";
  EXPECT_EQ(second.sequences[0].tokens.size(), 5u);
  EXPECT_EQ(second.sequences[0].prompt_logprobs, 4);
  EXPECT_EQ(second.sequences[0].next_token, -1);
  scheduler.commit();
  scheduler.commit();
  const CommittedStep third = scheduler.commit();
  ASSERT_EQ(third.prompts.size(), 1u);
  EXPECT_EQ(third.prompts[0].first, 1);
  EXPECT_EQ(third.prompts[0].count, 15);
  scheduler.remove(*scheduler.find(1));
  EXPECT_EQ(scheduler.commit().prompts.at(0).sequence, nullptr);
}

}  // namespace
}  // namespace lockstep
