#include "plan/memory_plan.h"

#include <algorithm>

#include "comm/peer_memory_size.h"
#include "comm/transport_choice.h"
#include "kernels/cuda/workspace.h"
#include "plan/rank_weights.h"

namespace lockstep {
namespace {

// NCCL's buffers of a communicator: 8 MiB a channel (4 MiB for the Simple protocol, as NCCL_BUFFSIZE, and about as much for LL128
// and LL), 24 channels on NVLink 4. An estimate that no run of ours has confirmed.
constexpr int64_t kNcclBytes = int64_t{192} << 20;
// Of a recorded kernel in an instantiated graph: its node and its parameters. An estimate likewise.
constexpr int64_t kGraphNodeBytes = 8 << 10;
constexpr int64_t kKernelsPerLayer = 8, kKernelsBesideLayers = 8;

int64_t collective_bytes(const PlannedModel& model, int tp, int gpus_per_node, const RunnerLimits& limits, AllReduceChoice choice,
                         bool nvlink) {
  if (tp == 1) return 0;
  TransportFacts facts;
  facts.choice = choice;
  facts.ranks = tp;
  facts.max_peers = cuda::kMaxPeers;
  facts.hosts = (tp + gpus_per_node - 1) / gpus_per_node;
  facts.ranks_per_host = std::min(tp, gpus_per_node);
  facts.nvlink = nvlink;
  facts.nccl_version = kNcclSharesGpus;
  // As bring_up() asks for them.
  const auto reduce = static_cast<size_t>(limits.max_num_batched_tokens * model.config.hidden_size) * sizeof(float);
  const size_t gather = Sampler::max_all_gather_bytes(model.config, tp, limits.max_num_seqs);
  const auto peer = static_cast<int64_t>(peer_memory_bytes(std::max(reduce, gather)));
  switch (choose_transport(facts).transport) {
    case Transport::kPeer: return peer;
    case Transport::kHierarchical: return 2 * kNcclBytes + peer;
    case Transport::kNccl: break;
  }
  return kNcclBytes;
}

MemoryPlan plan_rank(const PlannedModel& stage, const Gpu& gpu, int tp, int rank, int gpus_per_node, const MemoryNeed& need) {
  MemoryPlan plan;
  EngineOptions options = need.options;
  options.max_model_len = need.max_model_len;
  plan.limits = choose_limits(options, stage.config, !gpu.cpu, need.workload);
  const DType dtype = stage.base_dtype();
  const DType act = gpu.cpu ? DType::kFloat32 : dtype;
  ModelConfig one_layer = stage.config;  // what is asked of the partition here does not depend on the layers
  one_layer.num_layers = 1;
  const Partition partition = make_partition(one_layer, tp, rank, ffn_unit(stage));
  Partition widest =
      partition;  // as activations see it: an expert's columns are narrower than the dense layers', k of them wider
  if (stage.experts) {
    const Experts& e = *stage.experts;
    const int64_t columns = e.per_token * deal(e.intermediate_size, ffn_unit(stage), tp, rank).size() +
                            deal(e.shared_intermediate_size, ffn_unit(stage), tp, rank).size();
    widest.share.ffn.end = widest.share.ffn.begin + std::max(widest.share.ffn.size(), columns);
  }
  const KvLayout kv = kv_layout(stage.config, partition.share, dtype, options.block_size);
  const RankMemory memory = rank_memory(stage.config, widest, dtype, act, plan.limits, kv);
  plan.weights = rank_weight_bytes(stage, tp, rank);
  plan.activations = memory.activations;
  plan.buffers = memory.buffers;
  plan.capacity = static_cast<int64_t>(gpu.memory_bytes);
  plan.usable = static_cast<int64_t>(gpu.memory_bytes * options.gpu_memory_utilization);
  if (!gpu.cpu) {
    plan.context = static_cast<int64_t>(gpu.context_bytes);
    plan.workspace = static_cast<int64_t>(cuda::workspace_bytes(gpu.multiprocessors));
    plan.collectives = collective_bytes(stage, tp, gpus_per_node, plan.limits, options.allreduce, need.nvlink);
    plan.graphs = most_graphs(plan.limits) * graph_bytes(stage);
  }
  plan.kv_token = kv_bytes_per_token(stage, partition.share);

  const int64_t block = plan.kv_token * options.block_size;
  const int64_t blocks_of_one = (need.max_model_len + options.block_size - 1) / options.block_size;
  plan.kv_needed = need.concurrency * blocks_of_one * block;
  const int64_t useful = useful_kv_blocks(kv, plan.limits, need.workload);
  const double used = static_cast<double>(plan.context + plan.workspace + plan.collectives + plan.weights);
  int64_t budget = static_cast<int64_t>(need.options.kv_cache_memory_gib * 1024.0 * 1024.0 * 1024.0);
  if (budget == 0) {
    budget = gpu.cpu ? plan.usable - plan.weights - plan.activations - plan.buffers
                     : cuda_kv_budget(gpu.memory_bytes, used, options.gpu_memory_utilization, 1, plan.activations);
  }
  const int64_t blocks = block == 0 ? useful : std::clamp<int64_t>(budget / block, 0, useful);
  plan.kv_pool = blocks * block;
  plan.kv_pool_tokens = blocks * options.block_size;
  plan.fits = budget >= 0 && budget >= plan.kv_needed;
  return plan;
}

}  // namespace

int64_t most_graphs(const RunnerLimits& limits) {
  return static_cast<int64_t>(
      DecodeGraphs::buckets(std::min<int64_t>(limits.max_num_seqs, limits.max_num_batched_tokens)).size());
}

int64_t graph_bytes(const PlannedModel& model) {
  return (model.config.num_layers * kKernelsPerLayer + kKernelsBesideLayers) * kGraphNodeBytes;
}

MemoryPlan plan_memory(const PlannedModel& model, const Gpu& gpu, int tp, int stages, int gpus_per_node, const MemoryNeed& need) {
  const PlannedModel stage = stage_of(model, stages);
  MemoryPlan worst;
  int64_t fewest_tokens = 0;
  bool fits = true;
  for (int rank = 0; rank < tp; ++rank) {
    const MemoryPlan plan = plan_rank(stage, gpu, tp, rank, gpus_per_node, need);
    if (rank == 0 || plan.needed() > worst.needed()) worst = plan;
    fewest_tokens = rank == 0 ? plan.kv_pool_tokens : std::min(fewest_tokens, plan.kv_pool_tokens);
    fits = fits && plan.fits;
  }
  worst.fits = fits;
  // All ranks have as many blocks as the one with the fewest.
  worst.kv_pool_tokens = fewest_tokens;
  worst.kv_pool = fewest_tokens * worst.kv_token;
  return worst;
}

}  // namespace lockstep
