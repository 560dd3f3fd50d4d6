#include "engine/bring_up.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "comm/start_up_facts.h"
#include "engine/open_device.h"
#include "engine/progress_bar.h"

namespace lockstep {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
// Share of the host's free memory that the KV pool of all CPU ranks may take.
constexpr double kCpuKvShare = 0.5;

int64_t used_bytes(const MemoryInfo& memory) { return static_cast<int64_t>(memory.total_bytes - memory.free_bytes); }

DType choose_dtype(const EngineOptions& options, const ModelConfig& config) {
  return options.dtype == "auto" ? config.dtype : dtype_from_name(options.dtype);
}

// KV blocks for this rank: what memory allows, but not more than the limits or the workload can use.
int64_t count_kv_blocks(const World& world, Backend& backend, const EngineOptions& options, const KvLayout& kv,
                        const RunnerLimits& limits, const Workload& workload, int64_t activation_bytes, int sharers) {
  const int64_t useful = useful_kv_blocks(kv, limits, workload);
  const auto block_bytes = static_cast<int64_t>(kv.bytes_per_block());
  if (block_bytes == 0) return useful;  // a rank without heads
  const MemoryInfo memory = backend.memory();
  int64_t budget = 0;
  if (options.kv_cache_memory_gib > 0.0) {
    budget = static_cast<int64_t>(options.kv_cache_memory_gib * 1024.0 * kMiB);
  } else if (backend.kind() == DeviceKind::kCuda) {
    budget = cuda_kv_budget(static_cast<double>(memory.total_bytes), static_cast<double>(memory.total_bytes - memory.free_bytes),
                            options.gpu_memory_utilization, sharers, activation_bytes);
  } else {
    budget = static_cast<int64_t>(static_cast<double>(memory.free_bytes) * kCpuKvShare / world.local_size());
  }
  return std::min(useful, budget / block_bytes);
}

std::string describe_load(const LoadReport& report, const Partition& partition, const World& world) {
  return fmt::format(
      "rank {} on {}: read {:.1f} MiB of {:.1f} MiB ({:.1f} %) in {:.2f} s, {:.2f} GB/s; {} query heads, {} KV heads, "
      "{} FFN columns, {} vocabulary rows",
      world.rank(), world.host(), static_cast<double>(report.bytes_read) / kMiB,
      static_cast<double>(report.checkpoint_bytes) / kMiB,
      100.0 * static_cast<double>(report.bytes_read) / static_cast<double>(std::max<int64_t>(report.checkpoint_bytes, 1)),
      report.seconds, static_cast<double>(report.bytes_read) / std::max(report.seconds, 1e-9) / 1e9,
      partition.share.q_heads.size(), partition.share.kv_heads.size(), partition.share.ffn.size(), partition.share.vocab.size());
}

Workload share_workload(const World& world, const Workload& mine) {
  Workload all;
  const Workload root = world.is_root() ? mine : Workload{};
  all.num_sequences = world.all_max(root.num_sequences, "the workload");
  all.prompt_tokens = world.all_max(root.prompt_tokens, "the workload");
  all.total_tokens = world.all_max(root.total_tokens, "the workload");
  all.longest = world.all_max(root.longest, "the workload");
  return all;
}

}  // namespace

std::unique_ptr<ModelRunner> bring_up(const World& world, const EngineOptions& options, const ModelConfig& config,
                                      Workload workload) {
  world.phase("comparing the ranks", [&] {
    RankFacts facts;
    facts.rank = world.rank();
    facts.host = world.host();
    facts.world_size = world.size();
    facts.model = fmt::format("{:016x}", config.hash());
    if (options.load_format != LoadFormat::kDummy && !config.weights.empty()) {
      facts.model += fmt::format("-{:016x}", checkpoint_hash(config.weights));
    }
    check_start_up(world, facts);
  });
  workload = share_workload(world, workload);
  const int tp = world.size();

  OpenedDevice device = open_device(world, options);
  std::unique_ptr<Backend> backend = std::move(device.backend);
  world.set_device(backend->description());
  const bool cuda = backend->kind() == DeviceKind::kCuda;
  for (const std::string& line : world.all_gather(backend->description(), "device descriptions")) {
    if (world.is_root()) spdlog::info("device: {}", line);
  }

  Partition partition;
  RunnerLimits limits;
  DType dtype = DType::kFloat32;
  world.phase("partitioning the model", [&] {
    partition = make_partition(config, tp, world.rank());
    limits = choose_limits(options, config, cuda, workload);
    dtype = choose_dtype(options, config);
  });
  const DType act = backend->activation_dtype(dtype);
  const auto max_reduce = static_cast<size_t>(limits.max_num_batched_tokens * config.hidden_size) * sizeof(float);
  std::unique_ptr<Communicator> comm = make_communicator(world, *backend, options.allreduce, max_reduce,
                                                         Sampler::max_all_gather_bytes(config, tp, limits.max_num_seqs));
  const MemoryInfo at_start = backend->memory();

  std::unique_ptr<Weights> weights;
  LoadReport report;
  world.phase("loading the weights", [&] {
    weights = std::make_unique<Weights>(*backend, partition, dtype);
    if (options.load_format == LoadFormat::kDummy) {
      fill_dummy(*weights, partition, options.seed, *backend);
    } else {
      check(!config.weights.empty(), "{}: names no weights; give `weights:` in the YAML file, or --load-format dummy",
            options.model);
      ProgressBar bar("loading", world.is_root());
      report = load_checkpoint(*weights, partition, config.weights, *backend,
                               [&](int64_t done, int64_t total) { bar.update(done, total); });
    }
    backend->synchronize();
  });
  if (options.load_format != LoadFormat::kDummy) {
    for (const std::string& line : world.all_gather(describe_load(report, partition, world), "load reports")) {
      if (world.is_root()) spdlog::info("{}", line);
    }
  }

  const KvLayout kv = kv_layout(config, partition.share, dtype, options.block_size);
  RankMemory needed = rank_memory(config, partition, dtype, act, limits, kv);
  const int64_t activation_bytes = needed.activations;
  world.barrier("all weights to be loaded");
  const int64_t num_blocks =
      world.all_min(count_kv_blocks(world, *backend, options, kv, limits, workload, activation_bytes, device.sharers),
                    "the size of the KV pool");
  std::unique_ptr<ModelRunner> runner;
  world.phase("allocating the KV cache", [&] {
    const int64_t pool_tokens = num_blocks * kv.block_size;
    check(num_blocks > 0,
          "no memory is left for the KV cache: weights take {:.0f} MiB, activations {:.0f} MiB, one block {:.2f} MiB; raise "
          "--gpu-memory-utilization, lower --max-num-batched-tokens, or use more ranks",
          static_cast<double>(weights->bytes()) / kMiB, static_cast<double>(activation_bytes) / kMiB,
          static_cast<double>(kv.bytes_per_block()) / kMiB);
    if (limits.max_model_len > pool_tokens) {
      check(options.max_model_len == 0 && workload.longest == 0,
            "a sequence of {} tokens does not fit the KV cache, which has room for {} tokens ({} blocks of {}); lower "
            "--max-model-len or "
            "--max-tokens, or raise --kv-cache-memory-gib or --gpu-memory-utilization",
            limits.max_model_len, pool_tokens, num_blocks, kv.block_size);
      spdlog::warn("the context is cut from {} to {} tokens, which is what the KV cache holds", limits.max_model_len,
                   pool_tokens);
      limits.max_model_len = pool_tokens;
      needed = rank_memory(config, partition, dtype, act, limits, kv);
    }
    runner = std::make_unique<ModelRunner>(config, std::move(partition), std::move(backend), std::move(comm), std::move(weights),
                                           kv, num_blocks, limits);
    runner->backend().synchronize();
    DeviceMemory device;
    if (cuda) {
      device = {.total = static_cast<int64_t>(at_start.total_bytes),
                .used_before_weights = used_bytes(at_start),
                .used_before_steps = used_bytes(runner->backend().memory())};
    }
    runner->set_device_memory(device);
    if (world.is_root()) {
      const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / kMiB; };
      spdlog::info(
          "memory of rank 0: weights {:.1f} MiB, activations {:.1f} MiB, buffers {:.1f} MiB, KV cache {:.1f} MiB = {} tokens; "
          "{} at most, context {}{}",
          mib(needed.weights), mib(needed.activations), mib(needed.buffers), mib(needed.kv_block * num_blocks), pool_tokens,
          limits.max_num_seqs, limits.max_model_len,
          cuda ? fmt::format("; of the device's {:.1f} MiB in use: {:.1f} before the weights, {:.1f} now", mib(device.total),
                             mib(device.used_before_weights), mib(device.used_before_steps))
               : "");
    }
  });
  return runner;
}

}  // namespace lockstep
