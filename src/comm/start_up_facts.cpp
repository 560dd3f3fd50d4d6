#include "comm/start_up_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <sstream>

namespace lockstep {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
// The same GPU reports slightly different sizes under different drivers.
constexpr double kSameSize = 0.02;
// What others may hold of a GPU before it is worth a word, and when it is full; shares of its memory. A driver takes about 1 %.
constexpr double kBusyShare = 0.05, kFullShare = 0.9;
// NCCL's shared-memory transport, per rank of a host: it fails in the middle of its start where /dev/shm has less.
constexpr int64_t kNcclShmBytes = int64_t{16} << 20;
constexpr size_t kMostNamed = 4;

using Facts = std::vector<RankFacts>;
using Indices = std::vector<size_t>;

std::string name_all(const Facts& facts, const Indices& which) {
  std::vector<std::string> names;
  for (const size_t i : which) {
    if (names.size() < kMostNamed) names.push_back(facts[i].name());
  }
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  if (which.size() > kMostNamed) text += fmt::format(" and {} more", which.size() - kMostNamed);
  return text;
}

std::vector<int> ranks_of(const Facts& facts, const Indices& which) {
  std::vector<int> ranks;
  for (const size_t i : which) ranks.push_back(facts[i].rank);
  return ranks;
}

// By host, in the order of the ranks.
std::vector<std::pair<std::string, Indices>> by_host(const Facts& facts) {
  std::vector<std::pair<std::string, Indices>> hosts;
  for (size_t i = 0; i < facts.size(); ++i) {
    const auto host = std::find_if(hosts.begin(), hosts.end(), [&](const auto& h) { return h.first == facts[i].host; });
    host == hosts.end() ? hosts.push_back({facts[i].host, {i}}) : host->second.push_back(i);
  }
  return hosts;
}

// A finding where a fact that should be the same differs: who has which value. Ranks whose value is empty do not count, and the
// finding concerns those that have another value than the lowest rank.
void require_same(const Facts& facts, bool is_error, const char* what, const char* remedy,
                  const std::function<std::string(const RankFacts&)>& value_of, std::vector<Finding>& findings) {
  std::vector<std::pair<std::string, Indices>> groups;
  for (size_t i = 0; i < facts.size(); ++i) {
    const std::string value = value_of(facts[i]);
    if (value.empty()) continue;
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == value; });
    group == groups.end() ? groups.push_back({value, {i}}) : group->second.push_back(i);
  }
  if (groups.size() < 2) return;
  Finding finding{is_error, {}, {}};
  std::vector<std::string> parts;
  for (size_t g = 0; g < groups.size(); ++g) {
    parts.push_back(fmt::format("'{}' on {}", groups[g].first, name_all(facts, groups[g].second)));
    if (g == 0) continue;
    for (const int rank : ranks_of(facts, groups[g].second)) finding.ranks.push_back(rank);
  }
  std::sort(finding.ranks.begin(), finding.ranks.end());
  finding.text = fmt::format("the ranks differ in {}: {}; {}", what, fmt::join(parts, ", "), remedy);
  findings.push_back(std::move(finding));
}

void judge_sizes(const Facts& facts, std::vector<Finding>& findings) {
  Indices alone, odd;
  for (size_t i = 0; i < facts.size(); ++i) {
    const RankFacts& f = facts[i];
    if (f.launcher_size > 0 && f.launcher_size != f.world_size) alone.push_back(i);
    if (f.launcher_size == 0 && f.launcher_rank > 0 && f.world_size == 1) alone.push_back(i);
    if (f.tensor_parallel_size > 0 && f.tensor_parallel_size != f.world_size) odd.push_back(i);
  }
  if (!alone.empty()) {
    const RankFacts& f = facts[alone[0]];
    const std::string promise =
        f.launcher_size > 0
            ? fmt::format("the launcher started {} processes ({})", f.launcher_size, f.launcher_variable)
            : fmt::format("the launcher says that this is process {} of several ({})", f.launcher_rank, f.launcher_variable);
    findings.push_back(
        {true, ranks_of(facts, alone),
         fmt::format(
             "{}, but MPI gives a world of {} to {}: each would run alone, with a copy of its own of everything. The "
             "launcher and the MPI library that this binary is linked with do not fit together; start it with that "
             "library's own mpirun, or under Slurm with srun --mpi=pmix or --mpi=pmi2, whichever the library was built for "
             "(srun --mpi=list shows which there are)",
             promise, f.world_size, name_all(facts, alone))});
  }
  if (!odd.empty()) {
    const RankFacts& f = facts[odd[0]];
    findings.push_back(
        {true, ranks_of(facts, odd),
         fmt::format("--tensor-parallel-size {} but {} rank{} started; start as many ranks, e.g. mpirun -np {}",
                     f.tensor_parallel_size, f.world_size, f.world_size == 1 ? " was" : "s were", f.tensor_parallel_size)});
  }
}

void judge_gpu_sharing(const Facts& facts, std::vector<Finding>& findings) {
  Finding finding;
  std::vector<std::string> shared;
  for (const auto& [host, members] : by_host(facts)) {
    std::map<std::string, Indices> users;
    for (const size_t i : members) {
      if (facts[i].gpu) users[facts[i].gpu->uuid].push_back(i);
    }
    for (const auto& [uuid, who] : users) {
      if (who.size() < 2) continue;
      const auto ranks = ranks_of(facts, who);
      finding.ranks.insert(finding.ranks.end(), ranks.begin(), ranks.end());
      shared.push_back(fmt::format("{} of {}: ranks {}", uuid, host, fmt::join(ranks, ", ")));
    }
  }
  if (shared.empty()) return;
  std::sort(finding.ranks.begin(), finding.ranks.end());
  finding.text =
      fmt::format("several ranks share a GPU ({}): each gets a part of its speed and memory; start one rank per GPU for speed",
                  fmt::join(shared, "; "));
  findings.push_back(std::move(finding));
}

void judge_gpu_kinds(const Facts& facts, std::vector<Finding>& findings) {
  constexpr const char* kRemedy = "the slowest and the smallest decide for all; ask the scheduler for GPUs of one kind";
  require_same(
      facts, false, "the model of their GPU", kRemedy, [](const RankFacts& f) { return f.gpu ? f.gpu->name : ""; }, findings);
  double largest = 0.0;
  for (const RankFacts& f : facts) {
    if (f.gpu) largest = std::max(largest, static_cast<double>(f.gpu->total_bytes));
  }
  const auto is_largest = [&](const RankFacts& f) {
    return static_cast<double>(f.gpu->total_bytes) >= largest * (1.0 - kSameSize);
  };
  require_same(
      facts, false, "the memory of their GPU", kRemedy,
      [&](const RankFacts& f) {
        if (!f.gpu || f.gpu->total_bytes <= 0) return std::string();
        return fmt::format("{:.0f} MiB", is_largest(f) ? largest / kMiB : static_cast<double>(f.gpu->total_bytes) / kMiB);
      },
      findings);
}

// What strangers hold of the GPUs. A GPU is spoken of once, by the lowest of its ranks.
void judge_gpu_memory(const Facts& facts, std::vector<Finding>& findings) {
  std::set<std::pair<std::string, int64_t>> ours;
  for (const RankFacts& f : facts) ours.insert({f.host, f.pid});
  std::set<std::pair<std::string, std::string>> told;
  for (const RankFacts& f : facts) {
    if (!f.gpu || f.gpu->used_bytes < 0 || f.gpu->total_bytes <= 0 || !told.insert({f.host, f.gpu->uuid}).second) continue;
    const double share = static_cast<double>(f.gpu->used_bytes) / static_cast<double>(f.gpu->total_bytes);
    if (share < kBusyShare) continue;
    std::vector<std::string> users;
    for (const GpuFacts::User& user : f.gpu->users) {
      if (ours.contains({f.host, user.pid})) continue;
      users.push_back(fmt::format(
          "process {}{}{}", user.pid, user.name.empty() ? "" : " " + user.name,
          user.used_bytes < 0 ? std::string() : fmt::format(" ({:.0f} MiB)", static_cast<double>(user.used_bytes) / kMiB)));
    }
    const bool full = share >= kFullShare;
    findings.push_back(
        {full,
         {f.rank},
         fmt::format("{}: {} {} is {}: {:.0f} of {:.0f} MiB are in use before the job has begun, by {}; end what uses it, choose "
                     "another with CUDA_VISIBLE_DEVICES, or ask the scheduler for exclusive GPUs{}",
                     f.name(), f.gpu->name, f.gpu->uuid, full ? "full" : "in use by others",
                     static_cast<double>(f.gpu->used_bytes) / kMiB, static_cast<double>(f.gpu->total_bytes) / kMiB,
                     users.empty() ? "processes that the driver does not name" : fmt::format("{}", fmt::join(users, ", ")),
                     full ? "" : ", or lower --gpu-memory-utilization")});
  }
}

void judge_shared_memory(const Facts& facts, std::vector<Finding>& findings) {
  for (const auto& [host, members] : by_host(facts)) {
    int64_t free = -1, needed = 0, nccl = 0;
    for (const size_t i : members) {
      if (facts[i].shm_free_bytes >= 0) free = free < 0 ? facts[i].shm_free_bytes : std::min(free, facts[i].shm_free_bytes);
      needed += facts[i].shm_needed_bytes;
      if (facts[i].uses_nccl && members.size() > 1) nccl += kNcclShmBytes;
    }
    if (free < 0 || free >= needed + nccl) continue;
    const bool is_error = free < needed;
    findings.push_back(
        {is_error, ranks_of(facts, members),
         fmt::format("/dev/shm of {} ({}) has {:.1f} MiB free, {} {:.1f} MiB: make it larger (docker run --shm-size=1g; mount -o "
                     "remount,size=1g /dev/shm) or remove what fills it",
                     host, name_all(facts, members), static_cast<double>(free) / kMiB,
                     is_error ? "but the ranks there need" : "and NCCL may need",
                     static_cast<double>(is_error ? needed : needed + nccl) / kMiB)});
  }
}

void judge_interfaces(const Facts& facts, std::vector<Finding>& findings) {
  const bool several_hosts = by_host(facts).size() > 1;
  for (const RankFacts& f : facts) {
    if (!f.uses_nccl || f.interfaces.empty()) continue;
    if (f.nccl_socket_ifname && !f.nccl_socket_ifname->empty()) {
      if (!usable_interfaces(*f.nccl_socket_ifname, f.interfaces).empty()) continue;
      findings.push_back(
          {true,
           {f.rank},
           fmt::format("{}: NCCL_SOCKET_IFNAME={} matches no interface that is up and has an address; there are: {}. "
                       "NCCL could not start: name one of these, or unset it",
                       f.name(), *f.nccl_socket_ifname, fmt::join(f.interfaces, ", "))});
    } else if (several_hosts && usable_interfaces("^lo,docker", f.interfaces).empty()) {
      findings.push_back({true,
                          {f.rank},
                          fmt::format("{}: there is no network interface that reaches other hosts, only {}; NCCL cannot connect "
                                      "the hosts: bring one up, and name it in NCCL_SOCKET_IFNAME",
                                      f.name(), fmt::join(f.interfaces, ", "))});
    }
  }
}

}  // namespace

std::string RankFacts::name() const { return fmt::format("rank {} on {}", rank, host); }

std::vector<std::string> usable_interfaces(const std::string& nccl_socket_ifname, const std::vector<std::string>& interfaces) {
  std::string list = nccl_socket_ifname;
  const bool exclude = !list.empty() && list[0] == '^';
  if (exclude) list.erase(0, 1);
  const bool exact = !list.empty() && list[0] == '=';
  if (exact) list.erase(0, 1);
  std::vector<std::string> names, usable;
  std::istringstream in(list);
  for (std::string name; std::getline(in, name, ',');) {
    if (!name.empty()) names.push_back(name);
  }
  for (const std::string& interface : interfaces) {
    const bool listed = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return exact ? interface == name : interface.compare(0, name.size(), name) == 0;
    });
    if (listed != exclude) usable.push_back(interface);
  }
  return usable;
}

std::vector<Finding> judge_start_up(const std::vector<RankFacts>& facts) {
  std::vector<Finding> findings;
  judge_sizes(facts, findings);
  require_same(
      facts, true, "the executable (GNU build id)", "install the same build on every host",
      [](const RankFacts& f) { return f.executable; }, findings);
  require_same(
      facts, true, "the model (hash of its configuration and of the headers of its weights)",
      "the directory must hold the same files on every host", [](const RankFacts& f) { return f.model; }, findings);
  require_same(
      facts, true, "the version of NCCL", "NCCL connects only ranks of one version; install one, or set LD_LIBRARY_PATH",
      [](const RankFacts& f) { return f.nccl; }, findings);
  require_same(
      facts, false, "the CUDA driver", "this may work; where it does not, install the same on every host",
      [](const RankFacts& f) { return f.cuda_driver; }, findings);
  judge_gpu_memory(facts, findings);
  judge_gpu_sharing(facts, findings);
  judge_gpu_kinds(facts, findings);
  judge_shared_memory(facts, findings);
  judge_interfaces(facts, findings);
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) { return a.is_error > b.is_error; });
  return findings;
}

}  // namespace lockstep
