// The GPUs: what driver, which, how much of their memory, in what health, and how they are joined.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "comm/device_assignment.h"
#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

constexpr int64_t kGiB = 1 << 30;

std::vector<VisibleDevices> visible_devices(const Job& job) {
  std::vector<VisibleDevices> all;
  for (const RankFacts& r : job.ranks) all.push_back({r.launch.host, r.device.visible});
  return all;
}

// A judge of the GPUs that ranks use, named by UUID.
using GpuJudge = std::function<std::optional<Verdict>(const RankFacts&, const GpuFacts&)>;
Findings judge_gpus(const Job& job, const std::string& check, const GpuJudge& judge) {
  const std::vector<std::string> mine = gpus_of_ranks(job);
  return judge_each(job, check, Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
    const GpuFacts* gpu = find_gpu(r, mine[static_cast<size_t>(r.launch.rank)]);
    return gpu != nullptr ? judge(r, *gpu) : std::nullopt;
  });
}

std::optional<Verdict> judge_presence(const Job& job, const RankFacts& r) {
  const DeviceFacts& d = r.device;
  if (job.cuda) {
    if (d.visible.empty()) {
      return Verdict{Status::kFail, "no GPU is visible: " + d.why_no_gpu, "a GPU for each rank, or --device cpu",
                     "check nvidia-smi, CUDA_VISIBLE_DEVICES, the job's --gpus, docker run --gpus all"};
    }
    const std::string seen =
        fmt::format("{} visible to {} rank{}", d.visible.size(), r.launch.local_size, r.launch.local_size == 1 ? "" : "s");
    const bool sees_own_only = d.visible.size() == 1 && r.launch.local_size > 1;
    if (!sees_own_only && static_cast<int>(d.visible.size()) < r.launch.local_size) {
      return Verdict{
          Status::kWarn, seen, "a GPU for each rank: those that share one share its speed and memory",
          fmt::format("start {} rank{} on this host, or ask for more GPUs", d.visible.size(), d.visible.size() == 1 ? "" : "s")};
    }
    if (!sees_own_only && static_cast<int>(d.visible.size()) > r.launch.local_size) {
      return Verdict{Status::kPass, seen, fmt::format("{} would be used by as many ranks", d.visible.size()), ""};
    }
    return Verdict{Status::kPass, seen, "", ""};
  }
  const size_t known = d.gpus.size();
  if (known == 0 && !d.has_driver)
    return Verdict{Status::kSkip, "no NVIDIA driver on this host: ranks compute on the CPU", "", ""};
  if (!d.build_has_cuda) {
    return Verdict{Status::kWarn,
                   known > 0 ? fmt::format("{} × {}, but this build has no CUDA", known, d.gpus.front().name)
                             : "an NVIDIA driver, but this build has no CUDA",
                   "a build with CUDA, unless the CPU is meant",
                   "cmake --preset cuda && cmake --build --preset cuda, on a machine with the CUDA Toolkit and NCCL"};
  }
  return Verdict{
      Status::kWarn,
      fmt::format("an NVIDIA driver is loaded, but no GPU is used{}{}", d.why_no_gpu.empty() ? "" : ": ", d.why_no_gpu),
      "GPUs, unless the CPU is meant", "check nvidia-smi, CUDA_VISIBLE_DEVICES and the job's --gpus"};
}

// The ranks of each GPU, named by host and UUID.
std::map<std::string, std::vector<int>> users_of_gpus(const Job& job) {
  const std::vector<std::string> mine = gpus_of_ranks(job);
  std::map<std::string, std::vector<int>> users;
  for (int r = 0; r < job.size(); ++r) {
    if (const std::string& gpu = mine[static_cast<size_t>(r)]; !gpu.empty()) users[job.host_of(r) + " " + gpu].push_back(r);
  }
  return users;
}

Findings check_sharing(const Job& job) {
  std::string sharing;
  for (const auto& [gpu, ranks] : users_of_gpus(job)) {
    if (ranks.size() > 1) sharing += fmt::format("{}ranks {} share {}", sharing.empty() ? "" : "; ", ranges_of(ranks), gpu);
  }
  if (sharing.empty()) return {of_all(job, "ranks per GPU", {Status::kPass, "a GPU of its own for each rank", "", ""})};
  return {of_all(job, "ranks per GPU",
                 {Status::kWarn, sharing, "a GPU of its own for each rank",
                  "ask for as many GPUs as ranks (--gpus-per-node, --gpus-per-task=1), or start fewer ranks"})};
}

int version_at(const std::string& text, int index) {
  int major = 0, minor = 0;
  std::sscanf(text.c_str(), "%d.%d", &major, &minor);
  return index == 0 ? major : minor;
}

std::optional<Verdict> judge_runtime(const RankFacts& r) {
  const DeviceFacts& d = r.device;
  if (d.cuda_runtime.empty() || d.cuda_of_driver.empty()) return std::nullopt;
  const std::string seen = fmt::format("driver {} takes CUDA up to {}, built with {}, NCCL {}", d.driver_version,
                                       d.cuda_of_driver, d.cuda_runtime, d.nccl.empty() ? "unknown" : d.nccl);
  if (version_at(d.cuda_of_driver, 0) < version_at(d.cuda_runtime, 0)) {
    return Verdict{Status::kFail, seen, "a driver at least as new as the CUDA that lockstep was built with",
                   "update the driver, or build lockstep with an older CUDA Toolkit"};
  }
  return Verdict{Status::kPass, seen, "", ""};
}

std::string holders(const GpuFacts& gpu) {
  std::vector<std::string> names;
  for (const GpuProcess& p : gpu.processes) {
    names.push_back(
        fmt::format("process {}{}{}{}", p.pid, p.name.empty() ? "" : " ", p.name, p.bytes > 0 ? ": " + size_text(p.bytes) : ""));
  }
  return names.empty() ? "who holds the rest is not told (another container, or another user)"
                       : fmt::format("held by {}", fmt::join(names, ", "));
}

// sharers: the ranks that use this GPU, this one included.
std::optional<Verdict> judge_gpu_memory(const Job& job, const std::vector<int>& sharers, const GpuFacts& gpu) {
  const int64_t used = gpu.total - gpu.free;
  std::string seen = fmt::format("{} free of {}", size_text(gpu.free), size_text(gpu.total));
  const bool held = used > std::max(kGiB, gpu.total / 20);
  if (held) seen += "; " + holders(gpu);
  if (job.need) {
    int64_t needed = 0;
    for (const int r : sharers) {
      const auto rank = static_cast<size_t>(r);
      needed += job.need->weights[rank] + job.need->other[rank] + kGiB;  // and the context's
    }
    const std::string expected =
        fmt::format("{} for the weights of {} and a step{}, and more for the KV cache", size_text(needed), job.need->model,
                    sharers.size() > 1 ? fmt::format(" of ranks {}", ranges_of(sharers)) : "");
    if (gpu.free < needed) {
      return Verdict{Status::kFail, seen, expected, "more GPUs (see `lockstep plan`), or stop the other programs on this one"};
    }
  }
  if (held)
    return Verdict{Status::kWarn, seen, "a GPU that nobody else uses", "stop those programs (nvidia-smi), or take another GPU"};
  return Verdict{Status::kPass, seen, "", ""};
}

// The KV cache is as large as the poorest rank can make it.
Findings check_even_memory(const Job& job) {
  const std::vector<std::string> mine = gpus_of_ranks(job);
  int64_t least = 0, most = 0;
  int poorest = -1;
  for (int r = 0; r < job.size(); ++r) {
    const GpuFacts* gpu = find_gpu(job.ranks[static_cast<size_t>(r)], mine[static_cast<size_t>(r)]);
    if (gpu == nullptr) continue;
    most = std::max(most, gpu->free);
    if (poorest < 0 || gpu->free < least) poorest = r, least = gpu->free;
  }
  if (poorest < 0) return {};
  const std::string seen = fmt::format("{} to {} free", size_text(least), size_text(most));
  if (least >= most - most / 10) return {of_all(job, "even GPU memory", {Status::kPass, seen, "", ""})};
  return {Finding("even GPU memory", job.describe({poorest}), {poorest},
                  {Status::kWarn, seen, "about as much on every rank: the one with least bounds the KV cache of all",
                   "stop what holds memory there, or leave that GPU out (CUDA_VISIBLE_DEVICES)"})};
}

std::optional<Verdict> judge_ecc(const GpuFacts& gpu) {
  if (gpu.uncorrected_errors > 0 || gpu.row_remap_failed) {
    return Verdict{
        Status::kFail,
        fmt::format("{}: {} uncorrected error{}{}", gpu.uuid, gpu.uncorrected_errors, gpu.uncorrected_errors == 1 ? "" : "s",
                    gpu.row_remap_failed ? ", a row could not be replaced" : ""),
        "none: results may be wrong",
        "drain the host, reset the GPU (nvidia-smi --gpu-reset), replace it if the errors come back"};
  }
  if (gpu.row_remap_pending) {
    return Verdict{Status::kWarn, gpu.uuid + ": a row waits for its replacement", "none",
                   "reset the GPU (nvidia-smi --gpu-reset) when nothing runs on it"};
  }
  return Verdict{Status::kPass, gpu.has_ecc ? "ECC on, no uncorrected error" : "no ECC", "", ""};
}

std::optional<Verdict> judge_clocks(const GpuFacts& gpu) {
  if (!gpu.slowdowns.empty()) {
    return Verdict{Status::kWarn,
                   fmt::format("{}: slowed down: {}; {} °C", gpu.uuid, fmt::join(gpu.slowdowns, ", "), gpu.temperature),
                   "full clocks: the slowest GPU sets the pace of all",
                   "check cooling and power supply; nvidia-smi -q -d PERFORMANCE,POWER tells more"};
  }
  if (gpu.power_capped) {
    return Verdict{Status::kWarn, fmt::format("power limit {:.0f} W of {:.0f} W", gpu.power_limit, gpu.default_power_limit),
                   "the default limit", "nvidia-smi --power-limit, by the administrator"};
  }
  return Verdict{Status::kPass, "full clocks", "", ""};
}

std::optional<Verdict> judge_mode(const RankFacts& r, const GpuFacts& gpu, bool shared) {
  if (gpu.compute_mode == "prohibited" || (shared && gpu.compute_mode.starts_with("exclusive"))) {
    return Verdict{Status::kFail, gpu.uuid + ": compute mode " + gpu.compute_mode, "compute mode default",
                   "nvidia-smi --compute-mode=0, or one rank for each GPU"};
  }
  if (gpu.mig && r.launch.local_size > 1) {
    return Verdict{Status::kWarn, gpu.uuid + ": divided into MIG instances",
                   "whole GPUs: instances have no peer memory, and NCCL does not join them",
                   "ask for GPUs without MIG, or run one rank"};
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> gpus_of_ranks(const Job& job) {
  std::vector<std::string> mine(job.ranks.size());
  if (!job.cuda) return mine;
  const std::vector<int> assigned = assign_devices(visible_devices(job));
  for (size_t r = 0; r < mine.size(); ++r) {
    if (assigned[r] >= 0) mine[r] = job.ranks[r].device.visible[static_cast<size_t>(assigned[r])];
  }
  return mine;
}

const GpuFacts* find_gpu(const RankFacts& facts, const std::string& uuid) {
  for (const GpuFacts& gpu : facts.device.gpus) {
    if (!uuid.empty() && gpu.uuid == uuid) return &gpu;
  }
  return nullptr;
}

Findings check_gpus(const Job& job) {
  Findings findings = judge_each(job, "GPUs", Scope::kRank, [&](const RankFacts& r) { return judge_presence(job, r); });
  if (!job.cuda) return findings;
  append(findings, check_sharing(job));
  const std::string versions = "install the same driver on every host: NCCL and peer memory fail between different ones";
  append(findings, same_everywhere(job, "driver", Scope::kHost, Status::kFail, versions,
                                   [](const RankFacts& r) { return r.device.driver_version; }));
  append(findings, judge_each(job, "CUDA", Scope::kHost, judge_runtime));
  append(findings,
         same_everywhere(job, "NCCL", Scope::kRank, Status::kFail, "LD_LIBRARY_PATH must name the same NCCL on every host",
                         [](const RankFacts& r) { return r.device.nccl; }));
  const std::vector<std::string> mine = gpus_of_ranks(job);
  append(findings,
         same_everywhere(
             job, "GPU models", Scope::kRank, Status::kWarn,
             "use equal GPUs: the slowest sets the pace, the smallest bounds the KV cache, and other kinds round otherwise",
             [&](const RankFacts& r) {
               const GpuFacts* gpu = find_gpu(r, mine[static_cast<size_t>(r.launch.rank)]);
               return gpu == nullptr ? "" : fmt::format("{}, {}", gpu->name, size_text(gpu->total));
             }));
  const std::map<std::string, std::vector<int>> users = users_of_gpus(job);
  const auto sharers = [&](const RankFacts& r, const GpuFacts& g) { return users.at(r.launch.host + " " + g.uuid); };
  append(findings, judge_gpus(job, "GPU memory",
                              [&](const RankFacts& r, const GpuFacts& g) { return judge_gpu_memory(job, sharers(r, g), g); }));
  append(findings, check_even_memory(job));
  append(findings, judge_gpus(job, "ECC", [](const RankFacts&, const GpuFacts& g) { return judge_ecc(g); }));
  append(findings, judge_gpus(job, "clocks", [](const RankFacts&, const GpuFacts& g) { return judge_clocks(g); }));
  append(findings, judge_gpus(job, "compute mode",
                              [&](const RankFacts& r, const GpuFacts& g) { return judge_mode(r, g, sharers(r, g).size() > 1); }));
  append(findings, judge_each(job, "NVML", Scope::kHost, [](const RankFacts& r) -> std::optional<Verdict> {
           if (r.device.why_no_nvml.empty()) return std::nullopt;
           return Verdict{Status::kWarn, r.device.why_no_nvml,
                          "NVIDIA's management library, which tells of memory, ECC, clocks and links",
                          "install libnvidia-ml.so.1 (it comes with the driver), or let the container see it "
                          "(NVIDIA_DRIVER_CAPABILITIES=utility,compute)"};
         }));
  return findings;
}

}  // namespace lockstep::doctor
