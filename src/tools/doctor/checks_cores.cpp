// Where ranks may run, and whether others run there, too.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

constexpr const char* kBindRemedy =
    "mpirun --bind-to none, or launch/lockstep-run; under Slurm --cpus-per-task=N and srun --cpu-bind=cores";

std::string cores_text(const CoreFacts& c) {
  return fmt::format("{} of {} hardware threads ({} core{}): {}", c.allowed.size(), c.online, c.physical,
                     c.physical == 1 ? "" : "s", ranges_of(c.allowed));
}

// What the ranks of a host may use together.
struct HostCores {
  std::set<int> all;
  std::map<int, int> users;  // hardware thread -> ranks
  size_t ranks = 0;
};

HostCores cores_of(const Job& job, const std::vector<int>& host) {
  HostCores h;
  h.ranks = host.size();
  for (const int r : host) {
    for (const int core : job.ranks[static_cast<size_t>(r)].cores.allowed) {
      h.all.insert(core);
      ++h.users[core];
    }
  }
  return h;
}

Findings check_binding(const Job& job) {
  std::map<std::string, HostCores> hosts;
  for (const auto& host : job.hosts()) hosts[job.host_of(host.front())] = cores_of(job, host);
  return judge_each(job, "binding", Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
    const CoreFacts& c = r.cores;
    if (c.allowed.empty()) return std::nullopt;
    const HostCores& host = hosts[r.launch.host];
    const std::string seen = cores_text(c);
    const auto fair = static_cast<size_t>(c.online) / host.ranks;
    if (c.allowed.size() == 1 && fair > 1 && !(c.quota > 0.0 && c.quota <= static_cast<double>(host.ranks))) {
      return Verdict{Status::kWarn, seen, fmt::format("about {} for each of the host's {} ranks", fair, host.ranks), kBindRemedy};
    }
    // More ranks than there are cores is another check's matter; here cores are to be had, and ranks sit on each other's.
    if (host.all.size() >= host.ranks) {
      int sharers = 0;
      for (const int core : c.allowed) sharers = std::max(sharers, host.users.at(core));
      const bool crowded = static_cast<size_t>(sharers) > c.allowed.size();
      if (crowded) {
        return Verdict{Status::kWarn, fmt::format("{}; {} ranks are bound to them", seen, sharers),
                       "cores of its own for each rank", kBindRemedy};
      }
    }
    return Verdict{Status::kPass, seen, "", ""};
  });
}

Findings check_oversubscription(const Job& job) {
  Findings findings;
  for (const auto& host : job.hosts()) {
    const HostCores h = cores_of(job, host);
    const CoreFacts& c = job.ranks[static_cast<size_t>(host.front())].cores;
    double cores = static_cast<double>(h.all.size());
    std::string seen = fmt::format("{} ranks on {} hardware threads", h.ranks, h.all.size());
    if (c.quota > 0.0) {
      cores = std::min(cores, c.quota);
      seen += fmt::format(", of which the cgroup grants {:.1f}", c.quota);
    }
    Verdict verdict{Status::kPass, seen, "", ""};
    if (static_cast<double>(h.ranks) > cores) {
      verdict = {Status::kWarn, seen, "at most one rank for each: ranks that share a core wait for each other at every AllReduce",
                 "start fewer ranks, ask for more cores (--cpus-per-task, docker run --cpus), or spread them over more hosts"};
    }
    findings.emplace_back("oversubscription", job.host_of(host.front()), host, verdict);
    const double others = c.load - static_cast<double>(h.ranks);
    Verdict load{Status::kPass, fmt::format("load {:.1f} on {} hardware threads", c.load, c.online), "", ""};
    if (others > 0.5 * c.online) {
      load = {Status::kWarn, load.seen, fmt::format("less than {:.1f} beside this job's ranks", 0.5 * c.online),
              "other programs run on this host: ask for it alone (sbatch --exclusive), or stop them"};
    }
    findings.emplace_back("other load", job.host_of(host.front()), host, load);
  }
  return findings;
}

Findings check_numa(const Job& job) {
  return judge_each(job, "NUMA", Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
    const CoreFacts& c = r.cores;
    if (c.allowed.empty()) return std::nullopt;
    if (c.numa_nodes <= 1) return Verdict{Status::kPass, "the host has one NUMA node", "", ""};
    const std::string seen =
        fmt::format("cores of node{} {} of {}", c.numa.size() == 1 ? "" : "s", ranges_of(c.numa), c.numa_nodes);
    if (c.numa.size() > 1 && !job.cuda) {
      const bool enough = r.launch.local_size >= c.numa_nodes;
      return Verdict{Status::kWarn, seen, "cores of one node, so that the rank's weights lie in its own memory",
                     enough ? "launch/lockstep-run, or mpirun --map-by numa --bind-to numa; under Slurm srun --cpu-bind=ldoms"
                            : fmt::format("start a rank for each NUMA node: {} on this host", c.numa_nodes)};
    }
    for (const int node : c.numa) {
      if (!c.memory_on.empty() && std::find(c.memory_on.begin(), c.memory_on.end(), node) == c.memory_on.end()) {
        return Verdict{Status::kWarn, fmt::format("{}, memory from nodes {}", seen, ranges_of(c.memory_on)),
                       "memory of the same nodes",
                       "numactl --membind, or the job's cpuset, keeps memory away from these cores: take it off"};
      }
    }
    return Verdict{Status::kPass, seen, "", ""};
  });
}

}  // namespace

Findings check_cores(const Job& job) {
  Findings findings = check_binding(job);
  append(findings, check_oversubscription(job));
  append(findings, check_numa(job));
  append(findings,
         same_everywhere(
             job, "processors", Scope::kHost, Status::kWarn,
             "ask for equal hosts (sbatch --constraint): the slowest sets the pace, and other instruction sets round otherwise",
             [](const RankFacts& r) { return r.cores.model; }));
  return findings;
}

}  // namespace lockstep::doctor
