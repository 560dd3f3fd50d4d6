#include "tools/floor_model.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// Qwen2.5-7B.
ModelConfig qwen_7b() {
  ModelConfig config;
  config.vocab_size = 152064;
  config.hidden_size = 3584;
  config.intermediate_size = 18944;
  config.num_layers = 28;
  config.num_heads = 28;
  config.num_kv_heads = 4;
  config.head_dim = 128;
  return config;
}

// One H100: reads 3.12 TB/s, 690 TFLOP/s in bf16.
FloorModel on_h100(int ranks = 1) {
  return {qwen_7b(), std::vector<DeviceRates>(static_cast<size_t>(ranks), {3.12e12, 690e12}), 2, 2};
}

constexpr double kLayerElements = 3584.0 * (4608 + 3584 + 3 * 18944);
constexpr double kHeadElements = 152064.0 * 3584;

TEST(FloorModelTest, ADecodeStepOfOneSequenceReadsWeightsAndContext) {
  const double weights = (28 * kLayerElements + kHeadElements) * 2;
  const double kv = 28 * 2 * 4 * 128 * 2;  // bytes a token
  EXPECT_NEAR(on_h100().step_seconds(StepShape::decode(1, 100)), (weights + 100 * kv) / 3.12e12, 1e-9);
  EXPECT_NEAR(on_h100().step_seconds(StepShape::decode(1, 100)), 4.53e-3, 0.01e-3);
}

TEST(FloorModelTest, WhatIsSlowerOfBytesAndFlopsCountsForEachOperation) {
  // 256 rows: the linears compute for longer than they read, attention reads for longer than it computes.
  const double linears = 2 * 256 * (28 * kLayerElements + kHeadElements) / 690e12;
  const double attention = 28 * 256 * 140.0 * 2 * 4 * 128 * 2 / 3.12e12;
  EXPECT_NEAR(on_h100().step_seconds(StepShape::decode(256, 140)), linears + attention, 1e-9);
  EXPECT_NEAR(on_h100().step_seconds(StepShape::decode(256, 140)), 5.9e-3, 0.05e-3);
}

TEST(FloorModelTest, ChunksOfAPromptAttendToWhatCameBefore) {
  StepShape whole = StepShape::chunk(0, 5, true);
  EXPECT_EQ(whole.attended, 1 + 2 + 3 + 4 + 5);
  EXPECT_EQ(whole.kv_tokens, 5);
  EXPECT_EQ(whole.sampled, 1);
  StepShape parts = StepShape::chunk(0, 2, false);
  parts += StepShape::chunk(2, 5, true);
  EXPECT_EQ(parts.attended, whole.attended);
  EXPECT_EQ(parts.tokens, whole.tokens);
  EXPECT_EQ(parts.kv_tokens, 2 + 5);
  // A prompt of 2048 on an H100: 51,000 tokens/s.
  EXPECT_NEAR(2048 / on_h100().step_seconds(StepShape::chunk(0, 2048, true)), 51000, 500);
}

TEST(FloorModelTest, OfARunAllFlopsOrAllBytesCountWhicheverIsMore) {
  // 1024 requests of 256 + 128 tokens in 600 steps: 7.7 s, computing.
  StepShape all;
  for (int i = 0; i < 1024; ++i) {
    all += StepShape::chunk(0, 256, true);
    for (int j = 1; j < 128; ++j) all += StepShape::decode(1, 256 + j);
  }
  const FloorModel floor = on_h100();
  EXPECT_NEAR(floor.run_seconds(all, 600), 7.7, 0.05);
  EXPECT_DOUBLE_EQ(floor.run_seconds(all, 600), floor.totals(all, 600).flops / 690e12);
  // In 100,000 steps the weights alone take longer.
  EXPECT_DOUBLE_EQ(floor.run_seconds(all, 100000), floor.totals(all, 100000).bytes / 3.12e12);
  EXPECT_GT(floor.run_seconds(all, 100000), 400.0);
}

TEST(FloorModelTest, TheRankThatTakesLongestCounts) {
  const double one = on_h100().step_seconds(StepShape::decode(1, 1));
  const double three = on_h100(3).step_seconds(StepShape::decode(1, 1));
  EXPECT_GT(three, one / 3);  // 28 heads over 3 ranks: 10, 9, 9
  EXPECT_LT(three, one / 2.8);
  const FloorModel uneven(qwen_7b(), {{3.12e12, 690e12}, {1.56e12, 690e12}}, 2, 2);
  EXPECT_NEAR(uneven.step_seconds(StepShape::decode(1, 1)), 2 * on_h100(2).step_seconds(StepShape::decode(1, 1)), 1e-6);
}

}  // namespace
}  // namespace lockstep
