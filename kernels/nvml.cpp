#include "kernels/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <utility>

namespace lockstep {
namespace {

// The library's C interface, as https://docs.nvidia.com/deploy/nvml-api documents it; the part that we call.
using Status = int;
using Device = void*;
constexpr Status kSuccess = 0;
constexpr Status kInsufficientSize = 7;
constexpr unsigned long long kNotAvailable = ~0ULL;

struct Memory {
  unsigned long long total, free, used;  // bytes
};
struct ProcessInfo {  // of nvmlDeviceGetComputeRunningProcesses, _v2 and _v3
  unsigned pid;
  unsigned long long used_gpu_memory;
  unsigned gpu_instance, compute_instance;
};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

struct Nvml::Functions {
  Status (*init)() = nullptr;
  Status (*shutdown)() = nullptr;
  const char* (*error_string)(Status) = nullptr;
  Status (*driver_version)(char*, unsigned) = nullptr;
  Status (*handle_by_uuid)(const char*, Device*) = nullptr;
  Status (*memory_info)(Device, Memory*) = nullptr;
  // Not in every version:
  Status (*running_processes)(Device, unsigned*, ProcessInfo*) = nullptr;
  Status (*process_name)(unsigned, char*, unsigned) = nullptr;
};

Nvml::Nvml(void* library, std::unique_ptr<Functions> functions) : library_(library), functions_(std::move(functions)) {}

Nvml::~Nvml() {
  functions_->shutdown();
  dlclose(library_);
}

std::unique_ptr<Nvml> Nvml::open(std::string& why_not, const char* library) {
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const text = dlerror();
    why_not = text != nullptr ? text : "it cannot be opened";
    return nullptr;
  }
  auto f = std::make_unique<Functions>();
  if (!find(handle, "nvmlInit_v2", f->init) || !find(handle, "nvmlShutdown", f->shutdown) ||
      !find(handle, "nvmlErrorString", f->error_string) || !find(handle, "nvmlSystemGetDriverVersion", f->driver_version) ||
      !find(handle, "nvmlDeviceGetHandleByUUID", f->handle_by_uuid) || !find(handle, "nvmlDeviceGetMemoryInfo", f->memory_info)) {
    why_not = fmt::format("{} lacks a function that NVML has", library);
    dlclose(handle);
    return nullptr;
  }
  if (!find(handle, "nvmlDeviceGetComputeRunningProcesses_v3", f->running_processes)) {
    find(handle, "nvmlDeviceGetComputeRunningProcesses_v2", f->running_processes);
  }
  find(handle, "nvmlSystemGetProcessName", f->process_name);
  if (const Status status = f->init(); status != kSuccess) {
    why_not = f->error_string(status);
    dlclose(handle);
    return nullptr;
  }
  return std::unique_ptr<Nvml>(new Nvml(handle, std::move(f)));
}

void* Nvml::find_function(const char* name) const { return dlsym(library_, name); }

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};
  return functions_->driver_version(text.data(), text.size()) == kSuccess ? text.data() : "";
}

std::optional<GpuMemory> Nvml::memory_of(const std::string& uuid) const {
  Device device = nullptr;
  Memory memory{};
  if (functions_->handle_by_uuid(uuid.c_str(), &device) != kSuccess) return {};
  if (functions_->memory_info(device, &memory) != kSuccess) return {};
  GpuMemory result;
  result.total_bytes = static_cast<int64_t>(memory.total);
  result.used_bytes = static_cast<int64_t>(memory.used);
  if (functions_->running_processes == nullptr) return result;

  std::vector<ProcessInfo> infos(64);
  auto count = static_cast<unsigned>(infos.size());
  Status status = functions_->running_processes(device, &count, infos.data());
  for (int attempt = 0; attempt < 3 && status == kInsufficientSize; ++attempt) {  // more may come meanwhile
    infos.resize(static_cast<size_t>(count) + 16);
    count = static_cast<unsigned>(infos.size());
    status = functions_->running_processes(device, &count, infos.data());
  }
  if (status != kSuccess) return result;
  for (unsigned i = 0; i < count; ++i) {
    GpuProcess process;
    process.pid = infos[i].pid;
    if (infos[i].used_gpu_memory != kNotAvailable) process.used_bytes = static_cast<int64_t>(infos[i].used_gpu_memory);
    std::array<char, 256> name{};
    if (functions_->process_name != nullptr && functions_->process_name(infos[i].pid, name.data(), name.size() - 1) == kSuccess) {
      process.name = name.data();
    }
    result.processes.push_back(std::move(process));
  }
  return result;
}

}  // namespace lockstep
