#include "base/env.h"

#include <cstdlib>

namespace lockstep {
namespace {

std::optional<std::string> get(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

}  // namespace

Env Env::read() {
  Env env;
  if (auto level = get("LOCKSTEP_LOG")) env.log_level = *level;
  // An empty CUDA_VISIBLE_DEVICES means "no device", which differs from an unset one.
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) env.cuda_visible_devices = visible;
  env.cpu_isa = get("LOCKSTEP_CPU_ISA");
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (!env.launcher_world_size) env.launcher_world_size = get(name);
  }
  return env;
}

void Env::set_default(const char* name, const std::string& value) { ::setenv(name, value.c_str(), /*overwrite=*/0); }

}  // namespace lockstep
