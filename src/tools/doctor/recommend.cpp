#include "tools/doctor/recommend.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "plan/plan.h"
#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

constexpr int64_t kPlannedContext = 8192;  // where --max-model-len does not say: what a run would cut the context to is not known

// Of rank 0's host: those that its ranks use, or see.
int count_gpus(const Job& job) {
  const RankFacts& r = job.ranks.front();
  const std::vector<std::string> used = gpus_of_ranks(job);
  std::set<std::string> all(r.device.visible.begin(), r.device.visible.end());
  for (size_t i = 0; i < used.size(); ++i) {
    if (job.host_of(static_cast<int>(i)) == r.launch.host && !used[i].empty()) all.insert(used[i]);
  }
  return std::max(1, static_cast<int>(all.size()));
}

std::string network_of(const RankFacts& r) {
  double gbit = 0.0;
  bool infiniband = false;
  for (const InfinibandPort& p : r.network.ports) {
    if (!p.active() || p.gbit < gbit) continue;
    gbit = p.gbit;
    infiniband = p.layer != "Ethernet";
  }
  if (gbit > 0.0 && infiniband) return gbit >= 400 ? "infiniband-ndr" : "infiniband-hdr";
  if (gbit > 0.0) return gbit >= 400 ? "roce-400g" : gbit >= 200 ? "roce-200g" : "roce-100g";
  for (const NetworkInterface& n : r.network.interfaces) gbit = std::max(gbit, n.gbit);
  return gbit >= 400 ? "ethernet-400g" : gbit >= 100 ? "ethernet-100g" : gbit >= 25 ? "ethernet-25g" : "ethernet-10g";
}

Cluster cluster_of(const Job& job, Gpu gpu, const GpuFacts& facts) {
  const RankFacts& r = job.ranks.front();
  Cluster cluster;
  cluster.gpus_per_node = count_gpus(job);
  cluster.nodes = static_cast<int>(job.hosts().size());
  if (facts.active_nvlinks == 0) {  // whatever the model has at best, here it goes over PCIe
    gpu.interconnect = fmt::format("pcie{}-x16", std::clamp(facts.max_pcie_generation, 3, 5));
    gpu.max_gpus_per_link_group = 0;
  }
  cluster.node_link = load_link(gpu.interconnect, LinkScope::kNode);
  cluster.beyond_group = gpu.max_gpus_per_link_group > 0 ? load_link(gpu.beyond_group, LinkScope::kNode) : cluster.node_link;
  if (cluster.nodes > 1) cluster.network = load_link(network_of(r), LinkScope::kNetwork);
  cluster.gpu = std::move(gpu);
  return cluster;
}

Recommendation for_model_on_gpus(const Job& job, const CommandLine& command_line, const Cluster& cluster) {
  PlanRequest request;
  request.need.options = resolve_engine_options(command_line, find_planned_model(command_line.engine.model));
  request.model = load_planned_model(command_line.engine.model, request.need.options.max_model_len);
  set_formats(request.model, request.need.options.dtype, "auto", 0);
  const int64_t longest = request.model.config.max_position_embeddings;
  request.need.max_model_len =
      request.need.options.max_model_len > 0 ? request.need.options.max_model_len : std::min(longest, kPlannedContext);
  request.context = std::min<int64_t>(1024, request.need.max_model_len);
  request.batches = {1, 32};
  request.prefills = {{1, std::min<int64_t>(2048, request.need.max_model_len)}};
  request.cluster = cluster;
  const Plan plan = make_plan(std::move(request));
  Recommendation result;
  result.tp = plan.decision.tp * plan.decision.stages;
  result.text = fmt::format("{} for {}: {}", plan.decision.found ? fmt::format("tp {}", result.tp) : "more GPUs",
                            job.need ? job.need->model : command_line.engine.model, fmt::join(plan.decision.reasons, " "));
  if (plan.decision.found && result.tp != job.size()) result.text += fmt::format(" (this run has {} ranks.)", job.size());
  return result;
}

Recommendation on_gpus(const Job& job, const CommandLine& command_line) {
  const RankFacts& r = job.ranks.front();
  const GpuFacts* facts = find_gpu(r, gpus_of_ranks(job).front());
  const int gpus = count_gpus(job);
  if (facts == nullptr) return {};
  const std::optional<Gpu> known = find_gpu_by_device(facts->name);
  if (known && job.need) {
    Gpu gpu = *known;
    gpu.memory_bytes = static_cast<double>(facts->total);
    return for_model_on_gpus(job, command_line, cluster_of(job, gpu, *facts));
  }
  Recommendation result;
  result.tp = facts->active_nvlinks > 0 ? gpus : std::min(gpus, 2);
  result.text = fmt::format(
      "tp up to {} on such a host ({} × {}, {}): the smallest that the model fits; `lockstep doctor --model DIR` decides for a "
      "model",
      result.tp, gpus, facts->name,
      gpus == 1                   ? "one GPU"
      : facts->active_nvlinks > 0 ? "joined by NVLink"
                                  : "no NVLink: beyond 2 the AllReduces take what more GPUs bring");
  return result;
}

Recommendation on_cpus(const Job& job) {
  const RankFacts& r = job.ranks.front();
  // No more ranks than there are cores to give.
  double cores = static_cast<double>(std::max(r.cores.physical, 1));
  if (r.cores.quota > 0.0) cores = std::min(cores, r.cores.quota);
  const int per_host = std::max(1, std::min(r.cores.numa_nodes, static_cast<int>(cores)));
  Recommendation result;
  result.tp = per_host;
  std::string why = fmt::format("a rank for each NUMA node, with all its cores as threads");
  if (job.need) {
    const ModelNeed& n = *job.need;
    const int64_t weights = std::accumulate(n.weights.begin(), n.weights.end(), int64_t{0});
    const int64_t free = std::max<int64_t>(r.memory.free, 1);
    const auto hosts = static_cast<int>((weights + weights / 10 + free - 1) / free);
    why +=
        fmt::format("; {} needs {} for its weights, a host has {} free", n.model, size_text(weights), size_text(r.memory.free));
    if (hosts > 1) {
      result.tp = hosts * per_host;
      why += fmt::format(": {} hosts", hosts);
    }
  }
  result.text = fmt::format("tp {} ({})", result.tp, why);
  return result;
}

}  // namespace

Recommendation recommend(const Job& job, const CommandLine& command_line) {
  try {
    return job.cuda ? on_gpus(job, command_line) : on_cpus(job);
  } catch (const std::exception& e) {
    return {0, fmt::format("none: {}", e.what())};
  }
}

}  // namespace lockstep::doctor
