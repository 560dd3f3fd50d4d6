// Between hosts, and between devices of a host over PCI.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/doctor/checks.h"

namespace lockstep::doctor {
namespace {

constexpr double kSlowEthernet = 10.0;  // Gbit/s: below, an AllReduce of a decode step costs more than the step

std::string port_text(const InfinibandPort& p) {
  return fmt::format("{}:{} {} {:.0f} Gb/s {}", p.device, p.port, p.layer == "Ethernet" ? "RoCE" : "InfiniBand", p.gbit, p.state);
}

Verdict judge_infiniband(const Job& job, const RankFacts& r) {
  const auto& ports = r.network.ports;
  const bool several_hosts = job.hosts().size() > 1;
  if (ports.empty()) return {Status::kSkip, "no InfiniBand or RoCE device", "", ""};
  std::vector<std::string> active, down;
  double best = 0.0;
  for (const InfinibandPort& p : ports) {
    (p.active() ? active : down).push_back(port_text(p));
    if (p.active()) best = std::max(best, p.gbit);
  }
  std::string seen = fmt::format("{}", fmt::join(active, ", "));
  if (!down.empty()) seen += fmt::format("{}{}", seen.empty() ? "" : "; ", fmt::join(down, ", "));
  if (active.empty()) {
    return {
        several_hosts ? Status::kFail : Status::kWarn, seen, "a port that is ACTIVE",
        "check cable, switch and subnet manager (ibstat); until then set NCCL_IB_DISABLE=1 and NCCL_SOCKET_IFNAME to use TCP"};
  }
  for (const InfinibandPort& p : ports) {
    if (p.active() && p.gbit < 0.6 * best) {
      return {Status::kWarn, seen, fmt::format("all active ports at {:.0f} Gb/s", best),
              fmt::format("{}:{} has come up slower: check its cable, or leave it out with NCCL_IB_HCA=^{}", p.device, p.port,
                          p.device)};
    }
  }
  if (!down.empty()) {
    return {Status::kWarn, seen, "all ports ACTIVE",
            "name those to use in NCCL_IB_HCA, or check cable, switch and subnet manager (ibstat)"};
  }
  return {Status::kPass, seen, "", ""};
}

std::optional<Verdict> judge_ethernet(const Job& job, const RankFacts& r) {
  if (job.hosts().size() < 2) return std::nullopt;
  const auto is_active = [](const InfinibandPort& p) { return p.active(); };
  if (std::any_of(r.network.ports.begin(), r.network.ports.end(), is_active)) return std::nullopt;
  double best = 0.0;
  std::vector<std::string> names;
  for (const NetworkInterface& n : r.network.interfaces) {
    best = std::max(best, n.gbit);
    names.push_back(n.gbit > 0.0 ? fmt::format("{} {:g} Gb/s", n.name, n.gbit) : n.name);
  }
  const std::string seen = names.empty() ? "no interface is up" : fmt::format("{}", fmt::join(names, ", "));
  if (best > 0.0 && best < kSlowEthernet) {
    return Verdict{Status::kWarn, seen, fmt::format("{:.0f} Gb/s or more between hosts that share a model", kSlowEthernet),
                   "keep tensor parallelism within one host (the model must fit there), or quantize; docs/choosing-tp.md"};
  }
  return Verdict{Status::kPass, seen, "", ""};
}

std::optional<Verdict> judge_gpu_direct(const Job& job, const RankFacts& r) {
  if (!job.cuda || r.network.ports.empty()) return std::nullopt;
  if (r.network.peer_memory_module) return Verdict{Status::kPass, "nvidia_peermem is loaded", "", ""};
  if (r.network.dma_buf) return Verdict{Status::kPass, "DMA-BUF (open kernel driver)", "", ""};
  return Verdict{
      job.hosts().size() > 1 ? Status::kWarn : Status::kPass, "neither nvidia_peermem nor DMA-BUF",
      "one of them, so that NICs read GPU memory without a detour through the host",
      job.hosts().size() > 1 ? "ask the administrator for `modprobe nvidia_peermem`, or the open NVIDIA kernel driver" : ""};
}

}  // namespace

Findings check_network(const Job& job) {
  Findings findings = judge_each(job, "InfiniBand", Scope::kHost, [&](const RankFacts& r) { return judge_infiniband(job, r); });
  append(findings, judge_each(job, "Ethernet", Scope::kHost, [&](const RankFacts& r) { return judge_ethernet(job, r); }));
  append(findings, judge_each(job, "GPUDirect", Scope::kHost, [&](const RankFacts& r) { return judge_gpu_direct(job, r); }));
  return findings;
}

Findings check_bus(const Job& job) {
  const auto matters = [](const RankFacts& r) { return r.device.gpus.size() > 1 || r.device.visible.size() > 1; };
  Findings findings = judge_each(job, "IOMMU", Scope::kHost, [&](const RankFacts& r) -> std::optional<Verdict> {
    const BusFacts& b = r.bus;
    const std::string seen = b.iommu_groups == 0 ? "off"
                                                 : fmt::format("{} groups{}", b.iommu_groups,
                                                               b.iommu_passthrough ? ", pass-through" : ", translating");
    if (b.iommu_groups == 0 || b.iommu_passthrough || !matters(r)) return Verdict{Status::kPass, seen, "", ""};
    return Verdict{
        Status::kWarn, seen, "off, or pass-through: translation slows or breaks transfers between GPUs",
        "boot with iommu=pt (or intel_iommu=off, amd_iommu=off) on bare metal; inside a virtual machine ask the provider"};
  });
  append(
      findings, judge_each(job, "ACS", Scope::kHost, [&](const RankFacts& r) -> std::optional<Verdict> {
        const BusFacts& b = r.bus;
        if (!b.acs_bridges.empty()) {
          const std::string seen = fmt::format("{} PCI bridge{} redirect: {}", b.acs_bridges.size(),
                                               b.acs_bridges.size() == 1 ? "" : "s", fmt::join(b.acs_bridges, ", "));
          if (!matters(r)) return Verdict{Status::kPass, seen, "", ""};
          return Verdict{
              Status::kWarn, seen, "no redirection: traffic between GPUs goes up to the processor and back",
              "switch ACS off in the firmware's settings, or with setpci as root (NCCL's troubleshooting guide has the loop)"};
        }
        if (b.unreadable_bridges > 0) {
          return Verdict{Status::kSkip, fmt::format("{} PCI bridges tell only root (lspci -vvv)", b.unreadable_bridges), "", ""};
        }
        return Verdict{Status::kPass, "no PCI bridge redirects", "", ""};
      }));
  return findings;
}

}  // namespace lockstep::doctor
