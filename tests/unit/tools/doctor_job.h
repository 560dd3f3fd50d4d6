// A sound job for the tests of `doctor`, to plant faults in.
#pragma once

#include <string>

#include "tools/doctor/job.h"

namespace lockstep::doctor {

inline constexpr int64_t kTestGiB = int64_t{1} << 30;

// `per_host` ranks on each of `hosts`, each bound to four cores of its own; with `cuda` a GPU each, joined by NVLink.
inline Job sound_job(int hosts, int per_host, bool cuda) {
  Job job;
  job.cuda = cuda;
  for (int h = 0; h < hosts; ++h) {
    for (int l = 0; l < per_host; ++l) {
      RankFacts r;
      r.launch.rank = h * per_host + l;
      r.launch.local_rank = l;
      r.launch.local_size = per_host;
      r.launch.pid = 100 + r.launch.rank;
      r.launch.host = "node" + std::to_string(h + 1);
      r.launch.boot_id = "boot" + std::to_string(h);
      r.launch.launched_ranks = hosts * per_host;
      r.launch.arguments = "doctor";
      r.launch.build = "0.1.0 (abc)";
      r.launch.binary_sha256 = std::string(64, 'a');
      r.launch.mpi_library = "Open MPI v4.1.4";
      r.cores.model = "Processor";
      for (int c = 0; c < 4; ++c) r.cores.allowed.push_back(4 * l + c);
      r.cores.online = r.cores.physical = 4 * per_host;
      r.cores.numa_nodes = per_host;
      r.cores.numa = {l};
      r.cores.load = 0.5;
      r.limits.open_files = 65536;
      r.limits.shm_total = r.limits.shm_free = 64 * kTestGiB;
      r.memory = {256 * kTestGiB, 256 * kTestGiB, 250 * kTestGiB, 0};
      r.network.interfaces = {{"eth0", 100.0}};
      r.network.peer_memory_module = true;
      for (int n = 0; n < per_host; ++n) {
        r.network.ports.push_back({"mlx5_" + std::to_string(n), 1, "ACTIVE", "InfiniBand", 400.0, n});
      }
      for (int g = 0; cuda && g < per_host; ++g) {
        GpuFacts gpu;
        gpu.uuid = "GPU-" + std::to_string(h) + std::to_string(g);
        gpu.name = "NVIDIA H100 80GB HBM3";
        gpu.bus_id = "00000000:0" + std::to_string(g + 1) + ":00.0";
        gpu.total = 80 * kTestGiB;
        gpu.free = 79 * kTestGiB;
        gpu.has_ecc = true;
        gpu.pcie_generation = gpu.max_pcie_generation = 5;
        gpu.pcie_width = gpu.max_pcie_width = 16;
        gpu.nvlinks = gpu.active_nvlinks = 18;
        gpu.nvlink_version = 6;
        gpu.compute_mode = "default";
        gpu.numa = g;
        for (int c = 0; c < 4; ++c) gpu.near_cores.push_back(4 * g + c);
        r.device.gpus.push_back(gpu);
        r.device.visible.push_back(gpu.uuid);
      }
      r.device.build_has_cuda = cuda;
      r.device.has_driver = cuda;
      if (cuda) {
        r.device.driver_version = "580.95.05";
        r.device.cuda_of_driver = "13.0";
        r.device.cuda_runtime = "12.8";
        r.device.nccl = "2.28.3";
        r.device.peer_access.assign(static_cast<size_t>(per_host), std::vector<int>(static_cast<size_t>(per_host), 1));
      }
      job.ranks.push_back(r);
    }
  }
  return job;
}

}  // namespace lockstep::doctor
