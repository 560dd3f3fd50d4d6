// Memory of the busiest rank: what a run will allocate (from the functions that allocate it), what the driver takes beside it,
// and what is left for the KV cache.
#pragma once

#include <cstdint>

#include "engine/rank_memory.h"
#include "plan/hardware.h"
#include "plan/planned_model.h"

namespace lockstep {

// What the plan is made for.
struct MemoryNeed {
  EngineOptions options;      // limits and utilization
  int64_t max_model_len = 0;  // of every sequence
  int64_t concurrency = 1;    // sequences at once, each of max_model_len tokens
  Workload workload;          // of a benchmark that is compared; all zeros: none
  bool nvlink = false;        // joins the GPUs of a node
};

// Bytes, of the rank that takes most.
struct MemoryPlan {
  int64_t weights = 0;
  int64_t activations = 0;  // with the logits
  int64_t buffers = 0;
  int64_t context = 0;      // the driver's, and kernels loaded
  int64_t workspace = 0;    // the CUDA backend's
  int64_t collectives = 0;  // peer memory or NCCL
  int64_t graphs = 0;       // CUDA graphs, while decoding
  int64_t kv_token = 0;     // of one token
  int64_t kv_needed = 0;    // for the concurrency asked for
  int64_t kv_pool = 0;      // what a run would allocate
  int64_t kv_pool_tokens = 0;
  int64_t capacity = 0;  // of the device
  int64_t usable = 0;    // capacity * gpu_memory_utilization
  RunnerLimits limits;
  // Without the KV cache.
  int64_t fixed() const { return weights + activations + buffers + context + workspace + collectives; }
  int64_t needed() const { return fixed() + kv_needed; }
  // Whether kv_needed fits where a run puts its cache.
  bool fits = false;
  int64_t sequences_that_fit(int64_t max_model_len) const { return max_model_len > 0 ? kv_pool_tokens / max_model_len : 0; }
};

// tp ranks in each of `stages` pipeline stages; gpus_per_node decides whether peer memory or NCCL carries the AllReduce. The
// degree must be possible (judge_degree()).
MemoryPlan plan_memory(const PlannedModel& model, const Gpu& gpu, int tp, int stages, int gpus_per_node, const MemoryNeed& need);

// CUDA graphs of decode steps that a run makes at most for contexts of one power of two, and what one takes.
int64_t most_graphs(const RunnerLimits& limits);
int64_t graph_bytes(const PlannedModel& model);

}  // namespace lockstep
