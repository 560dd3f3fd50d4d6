// RankMemory: what one rank allocates on its device, by purpose, known before anything is allocated. Every figure comes from the
// code that allocates it, so that `lockstep plan` and a run cannot disagree. And how that bounds the KV cache.
#pragma once

#include <cstdint>

#include "cache/kv_cache.h"
#include "config/model_config.h"
#include "config/options.h"
#include "engine/model_runner.h"
#include "kernels/backend.h"
#include "partition/partition.h"

namespace lockstep {

// What is about to be asked of the engine, where that is known: nothing larger is allocated. Zeros mean unknown.
struct Workload {
  int64_t num_sequences = 0;
  int64_t prompt_tokens = 0;  // of all sequences
  int64_t total_tokens = 0;   // prompts and outputs of all sequences
  int64_t longest = 0;        // prompt and output of the longest sequence
};

// The limits that options, model, kind of device and workload imply.
RunnerLimits choose_limits(const EngineOptions& options, const ModelConfig& config, bool cuda, const Workload& workload);

// Left free on a GPU beside what is counted: NCCL's buffers, CUDA graphs, sampling buffers that are made when first needed.
inline constexpr int64_t kCudaReserve = 512ll << 20;

// Bytes.
struct RankMemory {
  int64_t weights = 0;
  int64_t activations = 0;  // of a step's tokens, and the logits
  int64_t buffers = 0;      // small ones: step inputs, sampling, block tables, hidden states to sample from, rotary frequencies
  int64_t kv_block = 0;     // one block of the KV cache
  int64_t total() const { return weights + activations + buffers; }
};

// act: the dtype of activations; kv: this rank's layout. Without sampling buffers that are made when first needed.
RankMemory rank_memory(const ModelConfig& config, const Partition& partition, DType dtype, DType act, const RunnerLimits& limits,
                       const KvLayout& kv);

// This rank's KV layout.
KvLayout kv_layout(const ModelConfig& config, const RankShare& share, DType dtype, int64_t block_size);

// Blocks beyond which the KV cache would be of no use to these limits and this workload.
int64_t useful_kv_blocks(const KvLayout& kv, const RunnerLimits& limits, const Workload& workload);

// Bytes for the KV cache of one of `sharers` ranks on a GPU: total: of the GPU; used: before the cache and the activations are
// allocated, by all; activations: of this rank. May be negative.
int64_t cuda_kv_budget(double total, double used, double gpu_memory_utilization, int sharers, int64_t activations);

}  // namespace lockstep
