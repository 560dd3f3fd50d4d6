// What the system lets a process have.
#include <fmt/format.h>

#include <algorithm>

#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

constexpr int64_t kMiB = 1 << 20, kGiB = 1 << 30;
// Pinned buffers of NCCL and of the engine, registered memory of InfiniBand.
constexpr int64_t kLockedMemory = kGiB;
constexpr int64_t kOpenFiles = 1024, kFewestOpenFiles = 256;
constexpr int64_t kProcesses = 64;
// Of /dev/shm for each rank: our slots (HostCommunicator), or NCCL's buffers for ranks that have no direct link.
constexpr int64_t kSharedMemoryCpu = kMiB, kSharedMemoryNccl = 33 * kMiB;
constexpr int64_t kSharedMemoryBase = 4 * kMiB;  // the MPI library's own
constexpr int64_t kOverhead = 256 * kMiB;        // of a process beside the model: libraries, tokenizer, MPI
constexpr int64_t kCudaHost = 2 * kGiB;          // of a process that uses CUDA: driver, staging, libraries

bool needs_locked_memory(const Job& job, const RankFacts& r) { return job.cuda || !r.network.ports.empty(); }

Verdict judge_locked_memory(const Job& job, const RankFacts& r) {
  const int64_t limit = r.limits.locked_memory;
  const std::string seen = size_text(limit);
  if (!needs_locked_memory(job, r)) return {Status::kPass, seen, "any: there is neither a GPU nor InfiniBand", ""};
  if (limit == kUnlimited || limit >= kLockedMemory) return {Status::kPass, seen, "", ""};
  return {Status::kFail, seen, "unlimited: GPUs and InfiniBand need pinned memory (NCCL says `unhandled system error` without)",
          "ulimit -l unlimited before mpirun; for Slurm LimitMEMLOCK=infinity in slurmd's unit and "
          "PropagateResourceLimitsExcept=MEMLOCK; "
          "docker run --ulimit memlock=-1"};
}

Verdict judge_open_files(const RankFacts& r) {
  const int64_t limit = r.limits.open_files;
  const std::string seen = limit == kUnlimited ? "unlimited" : std::to_string(limit);
  if (limit == kUnlimited || limit >= kOpenFiles) return {Status::kPass, seen, "", ""};
  return {limit < kFewestOpenFiles ? Status::kFail : Status::kWarn, seen, fmt::format("at least {}", kOpenFiles),
          "ulimit -n 65536 before the launch, or /etc/security/limits.conf; docker run --ulimit nofile=65536"};
}

std::optional<Verdict> judge_address_space(const Job& job, const RankFacts& r) {
  const int64_t limit = r.limits.address_space;
  if (limit == kUnlimited) return Verdict{Status::kPass, "unlimited", "", ""};
  return Verdict{job.cuda ? Status::kFail : Status::kWarn, size_text(limit),
                 "unlimited: memory that is only reserved counts, too, and CUDA reserves more than the host has",
                 "ulimit -v unlimited; under Slurm VSizeFactor=0"};
}

std::optional<Verdict> judge_processes(const RankFacts& r) {
  const int64_t limit = r.limits.processes;
  if (limit == kUnlimited || limit >= kProcesses * r.launch.local_size) return std::nullopt;
  return Verdict{Status::kWarn, std::to_string(limit),
                 fmt::format("at least {}: threads count", kProcesses * r.launch.local_size), "ulimit -u unlimited"};
}

Verdict judge_shared_memory(const Job& job, const RankFacts& r) {
  const LimitFacts& l = r.limits;
  const char* remedy =
      "mount -o remount,size=50% /dev/shm; docker run --shm-size=1g or --ipc=host; remove what crashed programs left there";
  if (!l.has_shm)
    return {Status::kFail, "there is no /dev/shm", "a tmpfs that ranks of a host share", "mount -t tmpfs tmpfs /dev/shm"};
  const std::string seen = fmt::format("{} free of {}", size_text(l.shm_free), size_text(l.shm_total));
  const int64_t ranks = r.launch.local_size;
  const int64_t ours = ranks > 1 ? kSharedMemoryBase + ranks * kSharedMemoryCpu : 0;
  const int64_t nccl = job.cuda && ranks > 1 ? kSharedMemoryBase + ranks * kSharedMemoryNccl : 0;
  if (l.shm_free < ours) return {Status::kFail, seen, fmt::format("at least {} for {} ranks", size_text(ours), ranks), remedy};
  if (l.shm_free < nccl) {
    return {Status::kWarn, seen, fmt::format("at least {}, should NCCL exchange through it", size_text(nccl)), remedy};
  }
  return {Status::kPass, seen, "", ""};
}

}  // namespace

Findings check_limits(const Job& job) {
  Findings findings =
      judge_each(job, "locked memory", Scope::kRank, [&](const RankFacts& r) { return judge_locked_memory(job, r); });
  append(findings, judge_each(job, "open files", Scope::kRank, judge_open_files));
  append(findings,
         judge_each(job, "address space", Scope::kRank, [&](const RankFacts& r) { return judge_address_space(job, r); }));
  append(findings, judge_each(job, "processes", Scope::kRank, judge_processes));
  append(findings,
         judge_each(job, "shared memory", Scope::kHost, [&](const RankFacts& r) { return judge_shared_memory(job, r); }));
  return findings;
}

Findings check_memory(const Job& job) {
  Findings findings;
  for (const auto& host : job.hosts()) {
    const RankFacts& r = job.ranks[static_cast<size_t>(host.front())];
    const MemoryFacts& m = r.memory;
    if (m.total <= 0) continue;
    const auto ranks = static_cast<int64_t>(host.size());
    int64_t needed = ranks * (job.cuda ? kCudaHost : kOverhead);
    std::string for_what = fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s");
    if (job.need && !job.cuda) {
      for (const int i : host) {
        const auto rank = static_cast<size_t>(i);
        needed += job.need->weights[rank] + job.need->other[rank] + job.need->kv_token[rank] * job.need->context;
      }
      for_what += fmt::format(" of {}, one sequence of {} tokens", job.need->model, job.need->context);
    }
    const std::string seen =
        fmt::format("{} free of {}{}", size_text(m.free), size_text(m.total),
                    m.limited() ? fmt::format(", the limit of the cgroup (the host has {})", size_text(m.host_total)) : "");
    Verdict verdict{Status::kPass, seen, fmt::format("{} for {}", size_text(needed), for_what), ""};
    if (m.free < needed) {
      verdict.status = Status::kFail;
      verdict.remedy = m.limited()
                           ? "raise the job's memory (sbatch --mem, docker run --memory), or use more hosts or another dtype"
                           : "use more hosts, a smaller --max-model-len or another dtype, or stop other programs";
    } else if (m.oom_kills > 0) {
      verdict.status = Status::kWarn;
      verdict.seen +=
          fmt::format("; the kernel has killed {} process{} here for memory", m.oom_kills, m.oom_kills == 1 ? "" : "es");
      verdict.remedy = "ranks that vanish without a message may have been killed so: raise the job's memory (sbatch --mem)";
    }
    findings.emplace_back("host memory", job.host_of(host.front()), host, verdict);
  }
  return findings;
}

}  // namespace lockstep::doctor
