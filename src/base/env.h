// Env: every environment variable that Lockstep reads or sets, in one place.
#pragma once

#include <optional>
#include <string>

namespace lockstep {

struct Env {
  // Read once at start-up.
  std::string log_level = "info";                   // LOCKSTEP_LOG: debug, info, warn, error, off
  std::optional<std::string> cuda_visible_devices;  // CUDA_VISIBLE_DEVICES: indices or UUIDs, comma-separated
  std::optional<std::string> cpu_isa;  // LOCKSTEP_CPU_ISA: scalar, avx2, avx512, avx512bf16; caps what is chosen at run time
  std::optional<std::string>
      launcher_world_size;  // OMPI_COMM_WORLD_SIZE, else PMIX_SIZE/PMI_SIZE/SLURM_NTASKS: what was promised

  static Env read();
  // Sets `name` unless the user has set it; used for NCCL_MULTI_RANK_GPU_ENABLE, NCCL_MAX_CTAS, NCCL_NVLS_ENABLE.
  static void set_default(const char* name, const std::string& value);
};

}  // namespace lockstep
