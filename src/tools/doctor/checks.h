// The checks that need nothing but the facts of all ranks. Each function is a family; every finding has what was seen, what was
// expected and what to do.
#pragma once

#include "tools/doctor/job.h"

namespace lockstep::doctor {

Findings check_launch(const Job& job);     // ranks, hosts, program, MPI, environment
Findings check_cores(const Job& job);      // binding, NUMA, oversubscription
Findings check_limits(const Job& job);     // locked memory, descriptors, address space, /dev/shm
Findings check_memory(const Job& job);     // the cgroup's limit against what the model needs
Findings check_network(const Job& job);    // InfiniBand, Ethernet, GPUDirect
Findings check_bus(const Job& job);        // IOMMU, ACS
Findings check_gpus(const Job& job);       // driver, models, memory and who holds it, health
Findings check_gpu_links(const Job& job);  // NVLink, PCIe, peer access, distance to cores and NICs
// All of the above, and what could not be found out.
Findings check_facts(const Job& job);

// By rank, the UUID of the GPU that it will use (assign_devices() in comm); empty on the CPU.
std::vector<std::string> gpus_of_ranks(const Job& job);
// As the rank's host shows it; nullptr where it does not.
const GpuFacts* find_gpu(const RankFacts& facts, const std::string& uuid);

}  // namespace lockstep::doctor
