#include "plan/memory_plan.h"

#include <gtest/gtest.h>

#include "comm/peer_memory_size.h"
#include "kernels/cuda/workspace.h"
#include "plan/rank_weights.h"
#include "unit/plan/planning.h"

namespace lockstep {
namespace {

using testing::hardware;
using testing::planned;

MemoryNeed need(int64_t max_model_len, int64_t concurrency) {
  MemoryNeed n;
  n.max_model_len = max_model_len;
  n.concurrency = concurrency;
  return n;
}

MemoryPlan plan(const PlannedModel& model, const char* gpu, int tp, const MemoryNeed& n, int stages = 1) {
  return plan_memory(model, hardware(gpu), tp, stages, 8, n);
}

TEST(MemoryPlanTest, WhatFitsWhere) {
  struct Case {
    const char *model, *dtype, *gpu;
    int tp;
    bool fits;
  };
  for (const Case& c : {
           Case{"llama-3-8b", "auto", "h100-80gb", 1, true},
           Case{"llama-3-8b", "auto", "rtx-4090", 1, true},        // 16.1 of 22.9 GB
           Case{"llama-3-8b", "auto", "rtx-3060-12gb", 1, false},  // 16.1 of 11.4 GB
           Case{"llama-3-8b", "int4", "rtx-3060-12gb", 1, true},
           Case{"llama-3-70b", "auto", "h100-80gb", 1, false},  // 141.1 GB
           Case{"llama-3-70b", "auto", "h100-80gb", 2, false},  // 70.6 of 76.5 GB, and 5.4 more
           Case{"llama-3-70b", "auto", "h100-80gb", 3, true},
           Case{"llama-3-70b", "auto", "h100-80gb", 4, true},
           Case{"llama-3-70b", "auto", "h200", 1, false},
           Case{"llama-3-70b", "auto", "h200", 2, true},
           Case{"qwen2.5-72b", "auto", "h200", 1, false},  // 145.4 GB of weights
           Case{"llama-3-70b", "int4", "h100-80gb", 1, true},
       }) {
    EXPECT_EQ(plan(planned(c.model, c.dtype), c.gpu, c.tp, need(8192, std::string(c.gpu).starts_with("rtx") ? 1 : 8)).fits,
              c.fits)
        << c.model << c.dtype << c.gpu << c.tp;
  }
}

TEST(MemoryPlanTest, TheCacheAskedForGrowsWithContextAndConcurrencyInBlocks) {
  const PlannedModel model = planned("llama-3-8b");
  EXPECT_EQ(plan(model, "h100-80gb", 1, need(8192, 1)).kv_needed, int64_t{1} << 30);
  EXPECT_EQ(plan(model, "h100-80gb", 1, need(8192, 7)).kv_needed, int64_t{7} << 30);
  EXPECT_EQ(plan(model, "h100-80gb", 4, need(8192, 7)).kv_needed, int64_t{7} << 28);
  EXPECT_EQ(plan(model, "h100-80gb", 1, need(8177, 1)).kv_needed, int64_t{1} << 30);  // blocks of 16
  EXPECT_EQ(plan(model, "h100-80gb", 1, need(17, 1)).kv_needed, 2 * 16 * 131072);
}

// The pool is what is left of the utilization after everything that is allocated before it, less the reserve.
TEST(MemoryPlanTest, ThePoolTakesWhatIsLeft) {
  const PlannedModel model = planned("llama-3-8b");
  const MemoryPlan m = plan(model, "h100-80gb", 1, need(8192, 1));
  const int64_t left = m.usable - m.context - m.workspace - m.weights - m.activations - kCudaReserve;
  EXPECT_LE(m.kv_pool, left);
  EXPECT_GT(m.kv_pool, left - 16 * 131072);
  EXPECT_EQ(m.kv_pool, m.kv_pool_tokens * 131072);
  EXPECT_EQ(m.collectives, 0);
  EXPECT_EQ(m.workspace, static_cast<int64_t>(cuda::workspace_bytes(132)));
  // Two ranks exchange over NCCL, or where NVLink joins them, or as asked for over peer memory: mailboxes and three slots of 4
  // MiB, as a step of 8192 tokens is larger.
  const MemoryPlan two = plan(model, "h100-80gb", 2, need(8192, 1));
  EXPECT_GT(two.collectives, 0);
  MemoryNeed peer = need(8192, 1);
  peer.options.allreduce = AllReduceChoice::kPeer;
  EXPECT_EQ(plan(model, "h100-80gb", 2, peer).collectives, static_cast<int64_t>(peer_memory_bytes(size_t{1} << 40)));
  EXPECT_EQ(plan(model, "h100-80gb", 2, peer).collectives, int64_t{22} << 20);
  peer.options.allreduce = AllReduceChoice::kAuto;
  peer.nvlink = true;
  EXPECT_EQ(plan(model, "h100-80gb", 2, peer).collectives, int64_t{22} << 20);
  EXPECT_GT(two.kv_pool_tokens, 2 * m.kv_pool_tokens);
}

TEST(MemoryPlanTest, StagesShareTheLayers) {
  const PlannedModel model = planned("llama-3-70b");
  const MemoryPlan one = plan(model, "h100-80gb", 4, need(8192, 4)), two = plan(model, "h100-80gb", 4, need(8192, 4), 2);
  EXPECT_EQ(two.kv_needed * 2, one.kv_needed);
  const int64_t vocabulary = 128256 / 4 * 8192 * 2;  // bytes of a rank's embedding, and of its LM head
  EXPECT_NEAR(static_cast<double>(two.weights), static_cast<double>((one.weights - 2 * vocabulary) / 2 + vocabulary), 1e6);
}

// A workload bounds what a run allocates, as it does for a benchmark.
TEST(MemoryPlanTest, AWorkloadBoundsTheBuffers) {
  const PlannedModel model = planned("qwen2.5-0.5b");
  MemoryNeed small = need(8192, 1);
  small.workload = {.num_sequences = 8, .prompt_tokens = 512, .total_tokens = 1696, .longest = 212};
  const MemoryPlan m = plan(model, "h100-80gb", 1, small);
  EXPECT_EQ(m.limits.max_num_batched_tokens, 1696);
  EXPECT_EQ(m.limits.max_num_seqs, 8);
  EXPECT_EQ(m.kv_pool_tokens, 8 * 224);
  EXPECT_LT(m.activations, plan(model, "h100-80gb", 1, need(8192, 1)).activations / 4);
}

}  // namespace
}  // namespace lockstep
