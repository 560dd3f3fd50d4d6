// How the ranks were started.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

Finding check_ranks(const Job& job) {
  const LaunchFacts& root = job.ranks.front().launch;
  const size_t hosts = job.hosts().size();
  const std::string seen =
      fmt::format("{} rank{} on {} host{}", job.size(), job.size() == 1 ? "" : "s", hosts, hosts == 1 ? "" : "s");
  if (root.launched_ranks != 0 && root.launched_ranks != job.size()) {
    return of_all(
        job, "ranks",
        {Status::kFail,
         fmt::format("{}, but the launcher promised {} ({}): each process is alone", seen, root.launched_ranks, root.launcher),
         fmt::format("one job of {} ranks", root.launched_ranks),
         "the launcher and the MPI library do not fit together: use the mpirun of the MPI that lockstep was built with, or under "
         "Slurm "
         "srun --mpi=pmix or --mpi=pmi2, whichever that MPI speaks (`srun --mpi=list` shows what there is)"});
  }
  if (root.launcher.empty() && root.slurm_tasks > 1 && job.size() == 1) {
    return of_all(job, "ranks",
                  {Status::kWarn, seen + ", started by hand inside a Slurm allocation",
                   fmt::format("{} ranks, which is what the allocation has tasks", root.slurm_tasks),
                   "start lockstep through srun --mpi=pmix (or pmi2, whichever `srun --mpi=list` has), or through mpirun"});
  }
  return of_all(job, "ranks",
                {Status::kPass, seen,
                 root.launched_ranks == 0 ? "" : fmt::format("{}, as the launcher promised", root.launched_ranks), ""});
}

Finding check_tensor_parallel_size(const Job& job) {
  const int tp = job.tensor_parallel_size;
  if (tp == 0 || tp == job.size()) {
    return of_all(job, "tensor-parallel size", {Status::kPass, fmt::format("{} for {} ranks", job.size(), job.size()), "", ""});
  }
  return of_all(
      job, "tensor-parallel size",
      {Status::kFail, fmt::format("--tensor-parallel-size {}, but {} rank{} started", tp, job.size(), job.size() == 1 ? "" : "s"),
       "as many ranks as the tensor-parallel size: one process is one rank",
       fmt::format("mpirun -np {} lockstep ..., or srun --ntasks={}; or leave -tp out", tp, tp)});
}

Findings check_ranks_per_host(const Job& job) {
  const auto hosts = job.hosts();
  size_t fewest = hosts.front().size(), most = fewest;
  std::vector<std::string> counts;
  for (const auto& host : hosts) {
    fewest = std::min(fewest, host.size());
    most = std::max(most, host.size());
    counts.push_back(fmt::format("{} on {}", host.size(), job.host_of(host.front())));
  }
  Verdict verdict{Status::kPass,
                  fewest == most ? fmt::format("{} on each host", most) : fmt::format("{}", fmt::join(counts, ", ")), "", ""};
  if (fewest != most) {
    verdict = {Status::kWarn, verdict.seen, "as many ranks on each host, so that no host waits for another",
               "srun --ntasks-per-node=N, or equal slots= in the host file"};
  }
  return {of_all(job, "ranks per host", verdict)};
}

Findings check_order(const Job& job) {
  for (const auto& host : job.hosts()) {
    if (host.back() - host.front() + 1 == static_cast<int>(host.size())) continue;
    std::vector<std::string> places;
    for (const auto& each : job.hosts()) places.push_back(fmt::format("{}: {}", job.host_of(each.front()), ranges_of(each)));
    return {of_all(job, "rank order",
                   {Status::kWarn, fmt::format("{}", fmt::join(places, "; ")), "ranks that lie side by side on each host",
                    "srun --distribution=block, or mpirun --map-by slot (Open MPI), so that neighbours share a host's links"})};
  }
  return {of_all(job, "rank order", {Status::kPass, "ranks lie side by side on each host", "", ""})};
}

// Two machines that call themselves alike would be taken for one, and talk through memory that they do not share.
Findings check_host_names(const Job& job) {
  std::map<std::string, std::set<std::string>> boots;
  for (const RankFacts& r : job.ranks) {
    if (!r.launch.boot_id.empty()) boots[r.launch.host].insert(r.launch.boot_id);
  }
  for (const auto& [host, ids] : boots) {
    if (ids.size() > 1) {
      return {
          of_all(job, "host names",
                 {Status::kFail, fmt::format("{} machines call themselves {}", ids.size(), host),
                  "a name of its own for each host", "set the host names (hostnamectl set-hostname, or docker run --hostname)"})};
    }
  }
  return {of_all(job, "host names", {Status::kPass, "each host has a name of its own", "", ""})};
}

std::string environment_text(const RankFacts& r) {
  std::string text;
  for (const Variable& v : r.launch.environment) {
    // Those that a launcher sets for each rank or host.
    const bool own = v.name == "CUDA_VISIBLE_DEVICES" || v.name.starts_with("OMPI_MCA_orte") ||
                     v.name.starts_with("OMPI_MCA_ess") || v.name.starts_with("OMPI_MCA_initial") ||
                     v.name.starts_with("PMIX_MCA_") || v.name.starts_with("OMPI_MCA_hwloc");
    if (!own) text += fmt::format("{}{}={}", text.empty() ? "" : " ", v.name, v.value);
  }
  return text.empty() ? "none set" : text;
}

// A variable with a value that slows NCCL down or makes it fail, and why.
struct Suspicious {
  const char* name;
  const char* value;
  const char* effect;
};
constexpr std::array kSuspicious{
    Suspicious{"NCCL_P2P_DISABLE", "1", "GPUs of a host exchange through host memory instead of NVLink or PCIe"},
    Suspicious{"NCCL_SHM_DISABLE", "1", "ranks of a host exchange through the network"},
    Suspicious{"NCCL_IB_DISABLE", "1", "hosts exchange through TCP sockets instead of InfiniBand"},
    Suspicious{"NCCL_ALGO", "Tree", "one algorithm for every size"},
    Suspicious{"CUDA_LAUNCH_BLOCKING", "1", "the host waits for every kernel"},
    Suspicious{"NCCL_DEBUG", "TRACE", "NCCL writes a line for every call"},
};

Findings check_environment(const Job& job) {
  Findings findings = same_everywhere(
      job, "environment", Scope::kRank, Status::kWarn,
      "set the variables alike on every rank: mpirun -x NAME, sbatch --export=ALL, or launch/lockstep-run", environment_text);
  for (const Suspicious& s : kSuspicious) {
    append(findings, judge_each(job, "environment", Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
             const auto is_set = [&](const Variable& v) { return v.name == s.name && v.value == s.value; };
             if (std::none_of(r.launch.environment.begin(), r.launch.environment.end(), is_set)) return std::nullopt;
             return Verdict{Status::kWarn, fmt::format("{}={}: {}", s.name, s.value, s.effect), fmt::format("{} not set", s.name),
                            fmt::format("unset {}, unless it is meant", s.name)};
           }));
  }
  return findings;
}

}  // namespace

Findings check_launch(const Job& job) {
  Findings findings{check_ranks(job), check_tensor_parallel_size(job)};
  append(findings, check_ranks_per_host(job));
  append(findings, check_order(job));
  append(findings, check_host_names(job));
  append(findings,
         same_everywhere(job, "program", Scope::kRank, Status::kFail,
                         "start the same file on every host: a shared path, or copies of one build", [](const RankFacts& r) {
                           return r.launch.binary_sha256.empty()
                                      ? ""
                                      : fmt::format("{}, SHA-256 {}", r.launch.build, r.launch.binary_sha256.substr(0, 16));
                         }));
  append(findings, same_everywhere(job, "command line", Scope::kRank, Status::kFail, "give every rank the same arguments",
                                   [](const RankFacts& r) { return r.launch.arguments; }));
  append(findings, same_everywhere(job, "MPI library", Scope::kRank, Status::kFail,
                                   "use one MPI on all hosts: the one that lockstep was built with",
                                   [](const RankFacts& r) { return r.launch.mpi_library; }));
  append(findings, check_environment(job));
  return findings;
}

}  // namespace lockstep::doctor
