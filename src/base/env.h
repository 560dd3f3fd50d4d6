// Env: every environment variable that Lockstep reads or sets, in one place.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

struct Env {
  // Read once at start-up.
  std::optional<std::string> log_level;             // LOCKSTEP_LOG: debug, info, warn, error, off
  std::optional<std::string> cuda_visible_devices;  // CUDA_VISIBLE_DEVICES: indices or UUIDs, comma-separated
  // LOCKSTEP_CPU_ISA: scalar, avx2, avx512, avx512bf16, amxbf16; caps what is chosen at run time
  std::optional<std::string> cpu_isa;
  std::optional<std::string> api_key;  // LOCKSTEP_API_KEY: of `lockstep serve`, as --api-key
  // Who started this process and what it promised: the first of OMPI_COMM_WORLD_SIZE, PMIX_SIZE, PMI_SIZE, SLURM_STEP_NUM_TASKS,
  // or of the same launchers' variables for the rank where none gives a number of processes.
  struct Launcher {
    std::string variable;     // "SLURM_STEP_NUM_TASKS=4"; empty: there is no launcher
    std::optional<int> size;  // processes of the job; nothing where it is not a plain number
    std::optional<int> rank;  // OMPI_COMM_WORLD_RANK, PMIX_RANK, PMI_RANK, SLURM_PROCID
  };
  Launcher launcher;
  // PMIX_SERVER_URI…: where the launcher's daemon on this host listens, "1045430272.0;tcp4://127.0.0.1:43803".
  std::optional<std::string> pmix_server_uri;
  std::optional<std::string> nccl_socket_ifname;  // NCCL_SOCKET_IFNAME; NCCL reads it, the start-up checks it
  std::optional<std::string> nccl_hostid;  // NCCL_HOSTID: to NCCL, and so to us, ranks with different ones are on different hosts

  // LOCKSTEP_FAULT: for tests only; breaks one rank at one collective, see comm/faulty_communicator.h.
  std::optional<std::string> fault;

  static Env read();
  // All variables that begin with one of these, by name.
  static std::vector<std::pair<std::string, std::string>> with_prefixes(const std::vector<std::string_view>& prefixes);
  // Sets `name` unless the user has set it; used for NCCL_MULTI_RANK_GPU_ENABLE, NCCL_MAX_CTAS, NCCL_NVLS_ENABLE.
  static void set_default(const char* name, const std::string& value);
};

}  // namespace lockstep
