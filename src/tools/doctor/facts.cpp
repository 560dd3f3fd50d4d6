#include "tools/doctor/facts.h"

namespace lockstep::doctor {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Variable, name, value)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LaunchFacts, rank, local_rank, local_size, pid, host, boot_id, launcher, launched_ranks,
                                   launched_rank, slurm_tasks, arguments, build, binary_sha256, mpi_library, environment)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CoreFacts, model, allowed, online, physical, numa, memory_on, numa_nodes, quota, load)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LimitFacts, locked_memory, open_files, address_space, processes, shm_total, shm_free, has_shm)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MemoryFacts, host_total, total, free, oom_kills)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(InfinibandPort, device, port, state, layer, gbit, numa)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NetworkInterface, name, gbit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NetworkFacts, ports, interfaces, peer_memory_module, dma_buf)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BusFacts, iommu_groups, iommu_passthrough, acs_bridges, unreadable_bridges)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GpuProcess, pid, name, bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GpuFacts, uuid, name, bus_id, total, free, processes, has_ecc, uncorrected_errors,
                                   corrected_errors, row_remap_pending, row_remap_failed, slowdowns, temperature, power_capped,
                                   power_limit, default_power_limit, pcie_generation, max_pcie_generation, pcie_width,
                                   max_pcie_width, nvlinks, active_nvlinks, nvlink_version, compute_mode, mig, numa, near_cores)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DeviceFacts, build_has_cuda, has_driver, driver_version, cuda_of_driver, cuda_runtime, nccl,
                                   why_no_gpu, why_no_nvml, visible, gpus, peer_access)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Unanswered, what, why)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, launch, cores, limits, memory, network, bus, device, unanswered)

std::string to_text(const RankFacts& facts) {
  // Names and variables are whatever the machine has: bytes that are no UTF-8 are replaced, not refused.
  return nlohmann::json(facts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RankFacts facts_from_text(const std::string& text) { return nlohmann::json::parse(text).get<RankFacts>(); }

}  // namespace lockstep::doctor
