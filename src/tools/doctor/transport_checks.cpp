#include "tools/doctor/transport_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

constexpr double kClockSkew = 1.0;       // s: log lines of several hosts cannot be put in order, Kerberos and munge refuse
constexpr double kRoundTripHost = 1e-3;  // s, of a small message inside a host
constexpr double kRoundTripNetwork = 5e-3;
constexpr double kSlowLink = 1e9 / 8 * 5;  // bytes/s: below 5 Gbit/s a network is not one for tensor parallelism
// Shares of what a link can carry at best below which something is wrong with it.
constexpr double kFromHostShare = 0.35;  // GPUs may share a PCIe switch
constexpr double kFromPeerShare = 0.5;
constexpr double kAllReduceShare = 0.3;
constexpr double kMemoryShare = 0.02;  // of the memory bandwidth, an AllReduce through shared memory

// A small AllReduce that takes longer has waited for a core, or has gone another way than it should.
constexpr double kSlowSum = 100e-6, kSlowSumOfHosts = 1e-3;  // s

std::string rate_text(double bytes_per_second) { return fmt::format("{:.2f} GB/s", bytes_per_second / 1e9); }

double round_trip_limit(const Job& job, int rank) {
  return job.host_of(rank) == job.host_of(0) ? kRoundTripHost : kRoundTripNetwork;
}

}  // namespace

Findings check_clocks(const Job& job, const std::vector<PeerTiming>& timings) {
  if (job.size() < 2) return {};
  Findings findings = judge_each(job, "clocks of hosts", Scope::kHost, [&](const RankFacts& r) -> std::optional<Verdict> {
    const PeerTiming& t = timings[static_cast<size_t>(r.launch.rank)];
    if (std::abs(t.clock_offset_s) <= std::max(kClockSkew, t.round_trip_s))
      return Verdict{Status::kPass, fmt::format("within {:g} s of rank 0's", kClockSkew), "", ""};
    return Verdict{Status::kWarn, fmt::format("{:+.1f} s from rank 0's", t.clock_offset_s),
                   fmt::format("within {:g} s", kClockSkew),
                   "start a time service on that host (chronyd, systemd-timesyncd): logs cannot be put in order, and munge "
                   "refuses old credentials"};
  });
  double worst = 0.0;
  int slowest = 0;
  for (int r = 1; r < job.size(); ++r) {
    if (timings[static_cast<size_t>(r)].round_trip_s >= worst) worst = timings[static_cast<size_t>(r)].round_trip_s, slowest = r;
  }
  const std::string seen =
      fmt::format("a small message there and back: {:.1f} us at most ({})", worst * 1e6, job.describe({slowest}));
  if (worst > round_trip_limit(job, slowest)) {
    findings.push_back(of_all(job, "message time",
                              {Status::kWarn, seen, fmt::format("{:.0f} us at most", round_trip_limit(job, slowest) * 1e6),
                               "ranks wait for a core (see binding and other load), or messages take a slow network: name the "
                               "fast one, OMPI_MCA_btl_tcp_if_include=IF or UCX_NET_DEVICES"}));
  } else {
    findings.push_back(of_all(job, "message time", {Status::kPass, seen, "", ""}));
  }
  return findings;
}

Findings check_host_links(const Job& job, const std::vector<double>& rates) {
  return judge_each(job, "network", Scope::kHost, [&](const RankFacts& r) -> std::optional<Verdict> {
    const double rate = rates[static_cast<size_t>(r.launch.rank)];
    if (rate <= 0.0) return std::nullopt;
    const std::string seen = fmt::format("{} to {} through MPI", rate_text(rate), r.launch.host);
    if (rate >= kSlowLink) return Verdict{Status::kPass, seen, "", ""};
    return Verdict{Status::kWarn, seen, fmt::format("{} or more for tensor parallelism between hosts", rate_text(kSlowLink)),
                   "check that MPI takes the fast network (OMPI_MCA_btl_tcp_if_include=IF, or an MPI with UCX), or keep the "
                   "model within one host"};
  });
}

double nvlink_bandwidth(const GpuFacts& gpu) {
  // GB/s of a link, each direction; NVIDIA's figures of both directions halved. Version numbers are NVML's.
  const double link = gpu.nvlink_version <= 0 ? 0.0 : gpu.nvlink_version == 1 ? 20.0 : gpu.nvlink_version <= 6 ? 25.0 : 50.0;
  return link * 1e9 * gpu.active_nvlinks;
}

double pcie_bandwidth(const GpuFacts& gpu) {
  // GB/s of a lane: 8, 16, 32, 64 GT/s with 128/130 coding.
  constexpr std::array kLane{0.0, 0.25, 0.5, 0.985, 1.969, 3.938, 7.563};
  const auto generation = static_cast<size_t>(std::clamp(gpu.max_pcie_generation, 0, 6));
  return kLane[generation] * 1e9 * gpu.pcie_width;
}

Findings check_device_rates(const Job& job, const std::vector<DeviceRate>& rates) {
  const std::vector<std::string> mine = gpus_of_ranks(job);
  const auto judge = [&](const char* check, double DeviceRate::*measured, double share, const auto& best_of, const char* remedy) {
    return judge_each(job, check, Scope::kRank, [&, measured](const RankFacts& r) -> std::optional<Verdict> {
      const double rate = rates[static_cast<size_t>(r.launch.rank)].*measured;
      const GpuFacts* gpu = find_gpu(r, mine[static_cast<size_t>(r.launch.rank)]);
      if (rate <= 0.0) return std::nullopt;
      const double best = gpu == nullptr ? 0.0 : best_of(*gpu);
      if (rate >= share * best) return Verdict{Status::kPass, fmt::format("{:.0f} GB/s", rate / 1e9), "", ""};
      return Verdict{Status::kWarn, rate_text(rate), fmt::format("{} at best", rate_text(best)), remedy};
    });
  };
  Findings findings =
      judge("host to GPU", &DeviceRate::from_host, kFromHostShare, pcie_bandwidth,
            "see PCIe and GPU affinity: a link that came up narrow, or a rank on another socket's cores; loading is slower");
  append(findings, judge(
                       "GPU to GPU", &DeviceRate::from_peer, kFromPeerShare,
                       [](const GpuFacts& g) { return g.active_nvlinks > 0 ? nvlink_bandwidth(g) : 0.0; },
                       "see NVLink and peer access: the copy may go through the host"));
  return findings;
}

Findings check_all_reduce(const Job& job, const AllReduceReport& report) {
  if (report.figures.empty()) return {};
  int64_t wrong = 0;
  std::vector<std::string> parts;
  const double share = 2.0 * (job.size() - 1) / job.size();
  for (const AllReduceFigures& f : report.figures) {
    wrong += f.wrong;
    parts.push_back(fmt::format("{} in {:.1f} us", size_text(f.bytes), f.seconds * 1e6));
  }
  Findings findings;
  Verdict sums{Status::kPass, fmt::format("{}: every element is right", report.transport), "", ""};
  if (wrong > 0) {
    sums = {Status::kFail, fmt::format("{}: {} elements are wrong", report.transport, wrong), "none",
            "texts will be garbled. Try --allreduce nccl, then NCCL_P2P_DISABLE=1 (IOMMU and ACS break transfers between GPUs), "
            "and see ECC; between hosts see the network's error counters"};
  }
  findings.push_back(of_all(job, "AllReduce sums", sums));
  if (job.size() < 2) return findings;

  const AllReduceFigures& small = report.figures.front();
  const double slow = report.host_link > 0.0 ? kSlowSumOfHosts : kSlowSum;
  Verdict latency{Status::kPass, fmt::format("{} in {:.1f} us", size_text(small.bytes), small.seconds * 1e6),
                  fmt::format("{:.0f} us at most", slow * 1e6), ""};
  if (small.seconds > slow) {
    latency.status = Status::kWarn;
    latency.remedy =
        "each layer waits twice for such a message, so that more ranks are slower than fewer: ranks that share cores (binding, "
        "oversubscription, other load), or a slow way between them (peer access, NCCL_P2P_DISABLE, the network)";
  }
  findings.push_back(of_all(job, "AllReduce latency", latency));

  const AllReduceFigures& large = report.figures.back();
  const double bus = static_cast<double>(large.bytes) * share / std::max(large.seconds, 1e-9);
  const std::string seen = fmt::format("{}; {} by link and direction", fmt::join(parts, ", "), rate_text(bus));
  double best = report.memory_bandwidth, least = kMemoryShare;
  std::string of_what = "memory";
  if (report.host_link > 0.0) {
    best = report.host_link, least = kAllReduceShare / 2, of_what = "the network";
  } else if (job.cuda) {
    const GpuFacts* gpu = find_gpu(job.ranks.front(), gpus_of_ranks(job).front());
    if (gpu == nullptr) return findings;
    least = kAllReduceShare;
    const bool nvlink = gpu->active_nvlinks > 0;
    best = nvlink ? nvlink_bandwidth(*gpu) : pcie_bandwidth(*gpu);
    of_what = nvlink ? "NVLink" : "PCIe";
  }
  Verdict speed{Status::kPass, seen, fmt::format("{} is what {} gives at best", rate_text(best), of_what), ""};
  if (bus < least * best) {
    speed.status = Status::kWarn;
    speed.remedy =
        "more ranks will be slower than fewer: see binding, other load, NVLink, peer access and the network above; `lockstep "
        "bench comm` measures more sizes";
  }
  findings.push_back(of_all(job, "AllReduce speed", speed));
  return findings;
}

}  // namespace lockstep::doctor
