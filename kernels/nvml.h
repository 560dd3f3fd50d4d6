// Nvml: what the NVIDIA driver knows of a GPU beyond CUDA: who uses its memory, and how much of it. The library is opened at run
// time, so that a machine without it loses nothing but the answers; needs no CUDA Toolkit to build and makes no CUDA context.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

struct GpuProcess {
  int64_t pid = 0;          // as the driver sees it: that of the host, even where we run in a container
  std::string name;         // of the program; empty where we may not know
  int64_t used_bytes = -1;  // -1: the driver does not tell
};

struct GpuMemory {
  int64_t total_bytes = 0;
  int64_t used_bytes = 0;
  std::vector<GpuProcess> processes;  // that compute on it
};

class Nvml {
 public:
  // Null where there is no such library, or no driver behind it; why_not then says why.
  static std::unique_ptr<Nvml> open(std::string& why_not, const char* library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::string driver_version() const;  // "550.54.15"; empty where NVML does not tell
  // A function of the library, for more than is asked here; null where this version lacks it.
  void* find_function(const char* name) const;
  // uuid: "GPU-…", as CudaDevice has it. Nothing where NVML knows no such device or does not tell its memory.
  std::optional<GpuMemory> memory_of(const std::string& uuid) const;

 private:
  struct Functions;
  Nvml(void* library, std::unique_ptr<Functions> functions);

  void* library_;
  std::unique_ptr<Functions> functions_;
};

}  // namespace lockstep
