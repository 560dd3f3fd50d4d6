#include "engine/step_plan.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"

namespace lockstep {
namespace {

StepPlan sample_plan() {
  StepPlan plan;
  plan.step = (int64_t{1} << 40) + 3;
  SlotSetup setup;
  setup.slot = 5;
  setup.sampling.seed = 0xfedcba9876543210ull;
  setup.sampling.temperature = 0.7f;
  setup.sampling.top_k = 40;
  setup.sampling.min_tokens = 2;
  setup.sampling.stop_tokens = {1, -2, 3};
  setup.sampling.prompt_logprobs = 3;
  setup.sampling.bias_tokens = {9};
  setup.sampling.bias = {-1.5f};
  setup.last_token = 17;
  setup.prompt = {4, 5, 6};
  setup.outputs = {7};
  plan.setups = {setup, SlotSetup{}};
  plan.blocks = {{5, 0, 11}, {5, 1, 12}};
  plan.sequences = {{5, 0, 1, true, 0, -1, 3, {4, 5, 6, -1}}, {2, 100, 0, false, 1, 8, -1, {9}}};
  plan.masks = {{3, {-1, 0, 1 << 30}}, {0, {5, 6, 7}}};
  return plan;
}

TEST(StepPlan, ComesBackEqual) {
  const StepPlan plan = sample_plan();
  EXPECT_EQ(StepPlan::deserialize(plan.serialize()), plan);
  StepPlan shutdown;
  shutdown.kind = StepKind::kShutdown;
  EXPECT_EQ(StepPlan::deserialize(shutdown.serialize()), shutdown);
  EXPECT_EQ(plan.num_tokens(), 5);
}

TEST(StepPlan, RefusesEveryTruncation) {
  const std::vector<std::byte> bytes = sample_plan().serialize();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(StepPlan::deserialize({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}), Error) << size;
  }
  std::vector<std::byte> longer = bytes;
  longer.resize(longer.size() + 4);
  EXPECT_THROW(StepPlan::deserialize(longer), Error);
}

TEST(StepPlan, SurvivesDamagedWords) {
  const std::vector<std::byte> bytes = sample_plan().serialize();
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> damaged = bytes;
    damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    try {
      StepPlan::deserialize(damaged);
    } catch (const Error&) {  // refusing is fine; crashing or allocating without bound is not
    }
  }
}

}  // namespace
}  // namespace lockstep
