// The flow of docs/choosing-tp.md.
#include <gtest/gtest.h>

#include "plan/plan.h"
#include "unit/plan/planning.h"

namespace lockstep {
namespace {

using testing::cluster_of;
using testing::planned;
using testing::request_of;

std::string reasons(const Decision& d) {
  std::string all;
  for (const std::string& reason : d.reasons) all += reason + "\n";
  return all;
}

Plan plan_of(const std::string& model, const Cluster& cluster, int64_t max_model_len, int64_t concurrency,
             const std::string& dtype = "auto") {
  return make_plan(request_of(planned(model, dtype), cluster, max_model_len, concurrency));
}

TEST(DecisionTest, WhatFitsOnOneGpuTakesOne) {
  const Plan plan = plan_of("llama-3-8b", cluster_of("h100-80gb", 8), 8192, 16);
  EXPECT_TRUE(plan.decision.found);
  EXPECT_EQ(plan.decision.choice, "tp 1");
  EXPECT_NE(reasons(plan.decision).find("fits on one GPU"), std::string::npos) << reasons(plan.decision);
  EXPECT_EQ(plan.rows.size(), 8u);
  EXPECT_TRUE(plan.pipelines.empty());
}

TEST(DecisionTest, OverNvlinkTheSmallestDegreeThatFits) {
  const Plan plan = plan_of("llama-3-70b", cluster_of("h100-80gb", 8), 8192, 8);
  ASSERT_TRUE(plan.decision.found);
  // 3 fits, too; its heads do not fall evenly.
  EXPECT_TRUE(plan.row(3)->fits());
  EXPECT_FALSE(plan.row(2)->fits());
  EXPECT_TRUE(plan.decision.tp == 3 || plan.decision.tp == 4) << reasons(plan.decision);
  EXPECT_NE(reasons(plan.decision).find("Quantize first"), std::string::npos) << reasons(plan.decision);
}

TEST(DecisionTest, ALatencyAskedForRaisesTheDegree) {
  PlanRequest request = request_of(planned("llama-3-8b"), cluster_of("h100-80gb", 8), 8192, 1);
  request.max_latency_s = 3.6e-3;  // one GPU takes more than 5 ms
  const Plan plan = make_plan(request);
  ASSERT_TRUE(plan.decision.found);
  EXPECT_GE(plan.decision.tp, 2);
  EXPECT_LE(plan.row(plan.decision.tp)->token_seconds, 3.6e-3);
  EXPECT_GT(plan.row(1)->token_seconds, 3.6e-3);
  EXPECT_GT(plan.row(plan.decision.tp - 1)->token_seconds, 3.6e-3) << "a smaller degree would do";

  request.max_latency_s = 1e-5;
  const Decision impossible = make_plan(request).decision;
  EXPECT_NE(reasons(impossible).find("No degree meets"), std::string::npos) << reasons(impossible);
}

TEST(DecisionTest, OverPcieTheShareOfAllReduceIsSaid) {
  const Plan plan = plan_of("llama-3-70b", cluster_of("l40s", 4), 2048, 16);
  ASSERT_FALSE(plan.pipelines.empty());
  ASSERT_TRUE(plan.decision.found) << reasons(plan.decision);
  EXPECT_EQ(plan.decision.tp * plan.decision.stages, 4);
  EXPECT_NE(reasons(plan.decision).find("tp 4 over PCIe 4 ×16, 64×2048 prefill: "), std::string::npos) << reasons(plan.decision);
  EXPECT_NE(reasons(plan.decision).find("% of the step is AllReduce; prefer tp 2 × pp 2"), std::string::npos)
      << reasons(plan.decision);
  EXPECT_NE(reasons(plan.decision).find("does not run pp yet"), std::string::npos);
}

// Fast devices behind a slow link: what is exchanged takes longer than what a second stage costs.
TEST(DecisionTest, OverASlowLinkAPipelineIsTakenWhereItEndsTheLoadSooner) {
  const Plan plan = plan_of("llama-3-70b", cluster_of("h100-80gb", 4, 1, "pcie3-x16"), 4096, 64);
  ASSERT_TRUE(plan.decision.found) << reasons(plan.decision);
  EXPECT_GT(plan.decision.stages, 1) << reasons(plan.decision);
  double tensor_only = 0.0, chosen = 0.0;
  for (const PipelineRow& row : plan.pipelines) {
    if (row.total() != plan.decision.tp * plan.decision.stages) continue;
    if (row.stages == 1) tensor_only = row.load_seconds;
    if (row.stages == plan.decision.stages) chosen = row.load_seconds;
  }
  EXPECT_GT(tensor_only, chosen);
  EXPECT_GT(chosen, 0.0);
}

TEST(DecisionTest, OverSeveralNodesTensorParallelismStaysInside) {
  const Plan plan = plan_of("llama-3-70b", cluster_of("a100-40gb", 4, 2), 8192, 8);
  ASSERT_TRUE(plan.decision.found) << reasons(plan.decision);
  EXPECT_EQ(plan.rows.size(), 8u);
  EXPECT_FALSE(plan.row(4)->fits());
  EXPECT_LE(plan.decision.tp, 4);
  EXPECT_EQ(plan.decision.tp * plan.decision.stages, 8);
  EXPECT_NE(reasons(plan.decision).find("over several nodes"), std::string::npos) << reasons(plan.decision);
}

TEST(DecisionTest, WhereNothingFitsTheRemediesAreSaid) {
  const Plan plan = plan_of("qwen2.5-72b", cluster_of("h200", 1), 8192, 1);
  EXPECT_FALSE(plan.decision.found);
  EXPECT_NE(reasons(plan.decision).find("does not fit"), std::string::npos);
  EXPECT_NE(reasons(plan.decision).find("GPUs would do"), std::string::npos) << reasons(plan.decision);
  EXPECT_NE(reasons(plan.decision).find("fit on 1 GPU"), std::string::npos) << reasons(plan.decision);
}

TEST(DecisionTest, OneDegreeAskedForIsPlannedAlone) {
  PlanRequest request = request_of(planned("llama-3-8b"), cluster_of("h100-80gb", 8), 8192, 1);
  request.only_tp = 5;
  const Plan plan = make_plan(request);
  EXPECT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.decision.tp, 5);
  EXPECT_LT(plan.rows.front().decode.front().scaling, 1.0);  // still beside one rank
}

TEST(DecisionTest, AnOldCardIsPlannedAndMarked) {
  const Plan plan = plan_of("llama-3-8b", cluster_of("v100-32gb", 4), 4096, 1);
  EXPECT_NE(reasons(plan.decision).find("compute capability 8.0"), std::string::npos) << reasons(plan.decision);
}

TEST(DecisionTest, ScalingIsThroughputOverRanks) {
  const Plan plan = plan_of("llama-3-8b", cluster_of("h100-80gb", 4), 8192, 1);
  const PlanRow* one = plan.row(1);
  const PlanRow* four = plan.row(4);
  for (size_t i = 0; i < one->decode.size(); ++i) {
    EXPECT_DOUBLE_EQ(one->decode[i].scaling, 1.0);
    EXPECT_NEAR(four->decode[i].scaling, four->decode[i].tokens_per_second / one->decode[i].tokens_per_second / 4, 1e-12);
  }
  EXPECT_DOUBLE_EQ(four->prefill[1].message_bytes, 1073741824.0);
  EXPECT_DOUBLE_EQ(four->prefill[1].link_bytes, 1073741824.0 * 1.5 * 64);
}

}  // namespace
}  // namespace lockstep
