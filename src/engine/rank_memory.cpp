#include "engine/rank_memory.h"

#include <algorithm>

namespace lockstep {
namespace {

int64_t blocks_for(int64_t tokens, int64_t block_size) { return (tokens + block_size - 1) / block_size; }

}  // namespace

RunnerLimits choose_limits(const EngineOptions& options, const ModelConfig& config, bool cuda, const Workload& workload) {
  RunnerLimits limits;
  limits.max_model_len = options.max_model_len > 0 ? options.max_model_len : config.max_position_embeddings;
  if (workload.longest > 0) limits.max_model_len = std::min(limits.max_model_len, workload.longest);
  limits.max_num_seqs = options.max_num_seqs;
  if (workload.num_sequences > 0) {
    limits.max_num_seqs = static_cast<int32_t>(std::min<int64_t>(limits.max_num_seqs, workload.num_sequences));
  }
  limits.overlap_tokens = options.overlap_tokens;
  limits.max_num_batched_tokens = options.max_num_batched_tokens > 0 ? options.max_num_batched_tokens : (cuda ? 8192 : 512);
  if (workload.total_tokens > 0) {
    // A step holds prompts, or what preempted sequences compute again, or one token of each sequence.
    const int64_t useful = std::max<int64_t>(workload.total_tokens, limits.max_num_seqs);
    limits.max_num_batched_tokens = std::min(limits.max_num_batched_tokens, useful);
  }
  return limits;
}

KvLayout kv_layout(const ModelConfig& config, const RankShare& share, DType dtype, int64_t block_size) {
  KvLayout kv;
  kv.num_layers = config.num_layers;
  kv.kv_heads = share.kv_heads.size();
  kv.head_dim = config.head_dim;
  kv.block_size = block_size;
  kv.dtype = dtype;
  return kv;
}

RankMemory rank_memory(const ModelConfig& config, const Partition& partition, DType dtype, DType act, const RunnerLimits& limits,
                       const KvLayout& kv) {
  RankMemory memory;
  memory.weights = static_cast<int64_t>(Weights::bytes_needed(partition, dtype));
  const int64_t logits = limits.max_num_seqs * partition.share.vocab.size() * static_cast<int64_t>(sizeof(float));
  memory.activations =
      static_cast<int64_t>(Decoder::activation_bytes(config, partition.share, act, limits.max_num_batched_tokens)) + logits;
  memory.buffers = static_cast<int64_t>(
                       ModelRunner::buffer_bytes(config, act, limits) + Sampler::buffer_bytes(partition, limits.max_num_seqs) +
                       KvCache::table_bytes(limits.max_num_seqs, blocks_for(limits.max_model_len, kv.block_size))) -
                   logits;
  memory.kv_block = static_cast<int64_t>(kv.bytes_per_block());
  return memory;
}

int64_t useful_kv_blocks(const KvLayout& kv, const RunnerLimits& limits, const Workload& workload) {
  const int64_t useful = limits.max_num_seqs * blocks_for(limits.max_model_len, kv.block_size);
  if (workload.total_tokens == 0) return useful;
  return std::min(useful, blocks_for(workload.total_tokens, kv.block_size) + workload.num_sequences);
}

int64_t cuda_kv_budget(double total, double used, double gpu_memory_utilization, int sharers, int64_t activations) {
  return static_cast<int64_t>((total * gpu_memory_utilization - used) / sharers) - activations - kCudaReserve;
}

}  // namespace lockstep
