// What each rank finds out about itself and its host, without talking to the others. Ranks exchange these as JSON; the checks are
// functions of all of them (checks.h), so that a test can plant any fault.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep::doctor {

inline constexpr int64_t kUnlimited = -1;

// A variable of the environment.
struct Variable {
  std::string name, value;
};

struct LaunchFacts {
  int rank = 0;
  int local_rank = 0;
  int local_size = 1;
  int64_t pid = 0;
  std::string host;
  std::string boot_id;     // another one under the same host name is another machine
  std::string launcher;    // "SLURM_STEP_NUM_TASKS=4"; empty without one
  int launched_ranks = 0;  // as many ranks as it promised; 0: unknown
  int launched_rank = 0;
  int slurm_tasks = 0;  // of the allocation, 0 outside Slurm
  std::string arguments;
  std::string build;          // version and commit
  std::string binary_sha256;  // of the program's file
  std::string mpi_library;
  std::vector<Variable> environment;  // NCCL_*, CUDA_*, OMPI_MCA_* and the like
};

struct CoreFacts {
  std::string model;           // of the processor
  std::vector<int> allowed;    // hardware threads that the rank may run on
  int online = 0;              // of the host
  int physical = 0;            // cores behind `allowed`
  std::vector<int> numa;       // NUMA nodes of `allowed`
  std::vector<int> memory_on;  // NUMA nodes that memory may come from
  int numa_nodes = 1;          // of the host
  double quota = 0.0;          // processors that the cgroup grants; 0: no limit
  double load = 0.0;           // runnable tasks, mean of the last minute
};

struct LimitFacts {
  int64_t locked_memory = kUnlimited;  // bytes, soft limits
  int64_t open_files = kUnlimited;
  int64_t address_space = kUnlimited;
  int64_t processes = kUnlimited;
  int64_t shm_total = 0, shm_free = 0;  // bytes of /dev/shm; 0: there is none
  bool has_shm = true;
};

struct MemoryFacts {
  int64_t host_total = 0;       // bytes
  int64_t total = 0, free = 0;  // the cgroup's where it is less
  int64_t oom_kills = 0;        // that this cgroup has seen
  bool limited() const { return total < host_total; }
};

struct InfinibandPort {
  std::string device;  // "mlx5_0"
  int port = 1;
  std::string state;  // "ACTIVE", "DOWN"
  std::string layer;  // "InfiniBand" or "Ethernet", which is RoCE
  double gbit = 0.0;  // per second
  int numa = -1;
  bool active() const { return state == "ACTIVE"; }
};

struct NetworkInterface {
  std::string name;
  double gbit = 0.0;  // per second; 0: unknown
};

struct NetworkFacts {
  std::vector<InfinibandPort> ports;
  std::vector<NetworkInterface> interfaces;  // that are up, without loopback
  bool peer_memory_module = false;           // nvidia_peermem or nv_peer_mem
  bool dma_buf = false;                      // a kernel and an NVIDIA driver that share GPU memory without that module
};

struct BusFacts {
  int iommu_groups = 0;
  bool iommu_passthrough = false;
  std::vector<std::string> acs_bridges;  // PCI bridges that redirect traffic between devices below them
  int unreadable_bridges = 0;            // whose extended configuration only root may read
};

struct GpuProcess {
  int64_t pid = 0;
  std::string name;
  int64_t bytes = 0;
};

// A GPU as NVML shows it. All GPUs of the host, visible to CUDA or not.
struct GpuFacts {
  std::string uuid, name, bus_id;
  int64_t total = 0, free = 0;  // bytes
  std::vector<GpuProcess> processes;
  bool has_ecc = false;
  int64_t uncorrected_errors = 0;  // since the driver was loaded
  int64_t corrected_errors = 0;
  bool row_remap_pending = false, row_remap_failed = false;
  std::vector<std::string> slowdowns;                   // "thermal", "power brake"; not the harmless ones
  int temperature = 0;                                  // degrees Celsius
  bool power_capped = false;                            // the limit is below the default
  double power_limit = 0.0, default_power_limit = 0.0;  // W
  int pcie_generation = 0, max_pcie_generation = 0;     // of the link: now, and at best
  int pcie_width = 0, max_pcie_width = 0;
  int nvlinks = 0, active_nvlinks = 0;
  int nvlink_version = 0;
  std::string compute_mode;  // "default", "exclusive process", "prohibited"
  bool mig = false;
  int numa = -1;
  std::vector<int> near_cores;
};

struct DeviceFacts {
  bool build_has_cuda = false;
  bool has_driver = false;     // of NVIDIA, loaded on the host
  std::string driver_version;  // "580.95.05"
  std::string cuda_of_driver;  // "13.0", newest CUDA that it takes
  std::string cuda_runtime;    // of this build
  std::string nccl;
  std::string why_no_gpu;            // empty where CUDA sees one
  std::string why_no_nvml;           // empty where NVML answers
  std::vector<std::string> visible;  // UUIDs in CUDA's order
  std::vector<GpuFacts> gpus;
  // By visible GPU: whether CUDA gives i access to j's memory.
  std::vector<std::vector<int>> peer_access;
};

// What of collecting did not come to an end.
struct Unanswered {
  std::string what;
  std::string why;
};

struct RankFacts {
  LaunchFacts launch;
  CoreFacts cores;
  LimitFacts limits;
  MemoryFacts memory;
  NetworkFacts network;
  BusFacts bus;
  DeviceFacts device;
  std::vector<Unanswered> unanswered;
};

std::string to_text(const RankFacts& facts);
RankFacts facts_from_text(const std::string& text);  // of to_text()

}  // namespace lockstep::doctor
