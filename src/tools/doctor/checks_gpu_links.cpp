// How the GPUs of a host are joined to each other, to the cores of their ranks and to the network.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

std::optional<Verdict> judge_pcie(const GpuFacts& gpu) {
  if (gpu.max_pcie_width == 0) return std::nullopt;
  // The generation falls while a GPU idles, the width does not.
  const std::string seen = fmt::format("generation {} of {}, ×{} of ×{}", gpu.pcie_generation, gpu.max_pcie_generation,
                                       gpu.pcie_width, gpu.max_pcie_width);
  if (gpu.pcie_width < gpu.max_pcie_width) {
    return Verdict{Status::kWarn, gpu.uuid + ": " + seen, fmt::format("×{}", gpu.max_pcie_width),
                   "reseat the card or its riser, or use another slot; loading and PCIe AllReduces are slower"};
  }
  return Verdict{Status::kPass, fmt::format("generation {}, ×{}", gpu.max_pcie_generation, gpu.pcie_width), "", ""};
}

std::optional<Verdict> judge_nvlink(const GpuFacts& gpu) {
  if (gpu.nvlinks == 0) return Verdict{Status::kPass, "none: GPUs exchange over PCIe", "", ""};
  const std::string seen = fmt::format("{} of {} links active", gpu.active_nvlinks, gpu.nvlinks);
  if (gpu.active_nvlinks == 0) {
    return Verdict{Status::kWarn, gpu.uuid + ": " + seen, "active links, where other GPUs are joined",
                   "start nvidia-fabricmanager (hosts with NVSwitch need it), or check the bridges; nvidia-smi nvlink --status"};
  }
  if (gpu.active_nvlinks < gpu.nvlinks) {
    return Verdict{Status::kWarn, gpu.uuid + ": " + seen, fmt::format("all {}", gpu.nvlinks),
                   "check bridges and nvidia-smi nvlink --errorcounters; the host may need a reset"};
  }
  return Verdict{Status::kPass, seen, "", ""};
}

std::optional<Verdict> judge_peers(const RankFacts& r) {
  const auto& access = r.device.peer_access;
  if (access.size() < 2) return std::nullopt;
  std::vector<std::string> missing;
  for (size_t i = 0; i < access.size(); ++i) {
    for (size_t j = i + 1; j < access[i].size(); ++j) {
      if (access[i][j] == 0 || access[j][i] == 0) missing.push_back(fmt::format("{}-{}", i, j));
    }
  }
  if (missing.empty()) return Verdict{Status::kPass, fmt::format("all {} GPUs reach each other's memory", access.size()), "", ""};
  return Verdict{Status::kWarn, fmt::format("no access between GPUs {}", fmt::join(missing, ", ")), "access between all pairs",
                 "consumer cards and some virtual machines have none: NCCL goes through host memory then; prefer a smaller tp. "
                 "IOMMU and ACS break it, too"};
}

std::optional<Verdict> judge_affinity(const RankFacts& r, const GpuFacts& gpu) {
  if (gpu.near_cores.empty() || r.cores.numa_nodes <= 1) return std::nullopt;
  const std::set<int> near(gpu.near_cores.begin(), gpu.near_cores.end());
  const auto is_near = [&](int core) { return near.contains(core); };
  const auto count = std::count_if(r.cores.allowed.begin(), r.cores.allowed.end(), is_near);
  const std::string seen = fmt::format("cores {}, GPU near cores {}", ranges_of(r.cores.allowed), ranges_of(gpu.near_cores));
  if (count == 0) {
    return Verdict{Status::kWarn, seen, "cores of the GPU's own NUMA node",
                   "launch/lockstep-run; under Slurm --gpu-bind=closest or --gres-flags=enforce-binding"};
  }
  return Verdict{Status::kPass, "cores near the GPU", "", ""};
}

std::optional<Verdict> judge_nic(const Job& job, const RankFacts& r, const GpuFacts& gpu) {
  if (job.hosts().size() < 2 || gpu.numa < 0 || r.network.ports.empty()) return std::nullopt;
  for (const InfinibandPort& p : r.network.ports) {
    if (p.active() && (p.numa == gpu.numa || p.numa < 0))
      return Verdict{Status::kPass, fmt::format("{} is on the GPU's NUMA node", p.device), "", ""};
  }
  return Verdict{Status::kWarn, fmt::format("no active port on NUMA node {}, where {} is", gpu.numa, gpu.uuid),
                 "a port near each GPU", "traffic crosses the processors' link: prefer GPUs near a NIC, or more NICs"};
}

}  // namespace

Findings check_gpu_links(const Job& job) {
  if (!job.cuda) return {};
  const std::vector<std::string> mine = gpus_of_ranks(job);
  const auto judge = [&](const char* check, const auto& verdict_of) {
    return judge_each(job, check, Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
      const GpuFacts* gpu = find_gpu(r, mine[static_cast<size_t>(r.launch.rank)]);
      return gpu != nullptr ? verdict_of(r, *gpu) : std::nullopt;
    });
  };
  Findings findings = judge("PCIe", [](const RankFacts&, const GpuFacts& g) { return judge_pcie(g); });
  append(findings, judge("NVLink", [&](const RankFacts& r, const GpuFacts& g) -> std::optional<Verdict> {
           if (r.launch.local_size == 1 && job.size() == 1) return std::nullopt;
           return judge_nvlink(g);
         }));
  append(findings, judge_each(job, "peer access", Scope::kHost, judge_peers));
  append(findings, judge("GPU affinity", [](const RankFacts& r, const GpuFacts& g) { return judge_affinity(r, g); }));
  append(findings, judge("NIC affinity", [&](const RankFacts& r, const GpuFacts& g) { return judge_nic(job, r, g); }));
  return findings;
}

Findings check_facts(const Job& job) {
  Findings findings;
  for (const RankFacts& r : job.ranks) {
    for (const Unanswered& u : r.unanswered) {
      findings.emplace_back(u.what, job.describe({r.launch.rank}), std::vector<int>{r.launch.rank},
                            Verdict{Status::kFail, u.why, "an answer",
                                    "a driver or a file system hangs there: see dmesg and the mounts of that host"});
    }
  }
  for (const auto& family :
       {check_launch, check_cores, check_limits, check_memory, check_network, check_bus, check_gpus, check_gpu_links}) {
    append(findings, family(job));
  }
  return findings;
}

}  // namespace lockstep::doctor
