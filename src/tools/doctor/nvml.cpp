#include "tools/doctor/nvml.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <utility>

#include "kernels/nvml.h"

namespace lockstep::doctor {
namespace {

// What of NVML's interface is used here, as its manual has it. The interface is stable, and the toolkit's header is not
// everywhere.
using Device = void*;
using Result = int;
constexpr Result kSuccess = 0;

struct PciInfo {
  char legacy_bus_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

constexpr unsigned kMaxNvlinks = 18;
struct Slowdown {
  unsigned long long bit;
  const char* name;
};
// Of the reasons why clocks are down those that are a fault; idling and the power cap under load are not.
constexpr std::array kSlowdowns{Slowdown{0x8, "hardware slowdown"}, Slowdown{0x20, "thermal (driver)"},
                                Slowdown{0x40, "thermal (hardware)"}, Slowdown{0x80, "power brake"}};

// Calls functions of the library by name.
class Library {
 public:
  explicit Library(const Nvml& nvml) : nvml_(nvml) {}

  // A library that lacks the function counts as one that does not support it.
  template <typename... Args>
  Result call(const char* function, Args... args) const {
    constexpr Result kNotFound = 13;
    void* symbol = nvml_.find_function(function);
    if (symbol == nullptr) return kNotFound;
    return reinterpret_cast<Result (*)(Args...)>(symbol)(args...);
  }

  // A number that the function writes, or `otherwise`.
  template <typename T, typename... Args>
  T number(const char* function, T otherwise, Args... args) const {
    T value = otherwise;
    return call(function, args..., &value) == kSuccess ? value : otherwise;
  }

  template <typename... Args>
  std::string text(const char* function, Args... args) const {
    std::array<char, 128> buffer{};
    if (call(function, args..., buffer.data(), static_cast<unsigned>(buffer.size() - 1)) != kSuccess) return "";
    return buffer.data();
  }

 private:
  const Nvml& nvml_;
};

void read_health(const Library& nvml, Device device, GpuFacts& gpu) {
  int ecc = 0, pending = 0;
  gpu.has_ecc = nvml.call("nvmlDeviceGetEccMode", device, &ecc, &pending) == kSuccess && ecc == 1;
  constexpr int kCorrected = 0, kUncorrected = 1, kSinceLoad = 0;
  gpu.corrected_errors = static_cast<int64_t>(nvml.number("nvmlDeviceGetTotalEccErrors", 0ull, device, kCorrected, kSinceLoad));
  gpu.uncorrected_errors =
      static_cast<int64_t>(nvml.number("nvmlDeviceGetTotalEccErrors", 0ull, device, kUncorrected, kSinceLoad));
  unsigned corrected = 0, uncorrected = 0, remap_pending = 0, failed = 0;
  if (nvml.call("nvmlDeviceGetRemappedRows", device, &corrected, &uncorrected, &remap_pending, &failed) == kSuccess) {
    gpu.row_remap_pending = remap_pending != 0;
    gpu.row_remap_failed = failed != 0;
  }
  const unsigned long long reasons = nvml.number("nvmlDeviceGetCurrentClocksThrottleReasons", 0ull, device);
  for (const Slowdown& slowdown : kSlowdowns) {
    if ((reasons & slowdown.bit) != 0) gpu.slowdowns.emplace_back(slowdown.name);
  }
  constexpr int kSensor = 0;
  gpu.temperature = static_cast<int>(nvml.number("nvmlDeviceGetTemperature", 0u, device, kSensor));
  gpu.power_limit = nvml.number("nvmlDeviceGetPowerManagementLimit", 0u, device) / 1e3;
  gpu.default_power_limit = nvml.number("nvmlDeviceGetPowerManagementDefaultLimit", 0u, device) / 1e3;
  gpu.power_capped = gpu.power_limit > 0 && gpu.power_limit < 0.95 * gpu.default_power_limit;
}

void read_links(const Library& nvml, Device device, GpuFacts& gpu) {
  const auto pcie = [&](const char* function) { return static_cast<int>(nvml.number(function, 0u, device)); };
  gpu.pcie_generation = pcie("nvmlDeviceGetCurrPcieLinkGeneration");
  gpu.max_pcie_generation = pcie("nvmlDeviceGetMaxPcieLinkGeneration");
  gpu.pcie_width = pcie("nvmlDeviceGetCurrPcieLinkWidth");
  gpu.max_pcie_width = pcie("nvmlDeviceGetMaxPcieLinkWidth");
  for (unsigned link = 0; link < kMaxNvlinks; ++link) {
    int enabled = 0;
    if (nvml.call("nvmlDeviceGetNvLinkState", device, link, &enabled) != kSuccess) continue;
    ++gpu.nvlinks;
    gpu.active_nvlinks += enabled == 1 ? 1 : 0;
    if (enabled == 1) gpu.nvlink_version = static_cast<int>(nvml.number("nvmlDeviceGetNvLinkVersion", 0u, device, link));
  }
}

GpuFacts read_gpu(const Library& nvml, Device device) {
  GpuFacts gpu;
  gpu.uuid = nvml.text("nvmlDeviceGetUUID", device);
  gpu.name = nvml.text("nvmlDeviceGetName", device);
  PciInfo pci{};
  if (nvml.call("nvmlDeviceGetPciInfo_v3", device, &pci) == kSuccess) gpu.bus_id = pci.bus_id;
  read_health(nvml, device, gpu);
  read_links(nvml, device, gpu);
  constexpr std::array kModes{"default", "exclusive thread", "prohibited", "exclusive process"};
  const int mode = nvml.number("nvmlDeviceGetComputeMode", -1, device);
  if (mode >= 0 && mode < static_cast<int>(kModes.size())) gpu.compute_mode = kModes[static_cast<size_t>(mode)];
  unsigned mig = 0, pending = 0;
  gpu.mig = nvml.call("nvmlDeviceGetMigMode", device, &mig, &pending) == kSuccess && mig == 1;
  return gpu;
}

}  // namespace

NvmlReport read_nvml(const std::string& library) {
  NvmlReport report;
  const std::unique_ptr<Nvml> opened = Nvml::open(report.why_not, library.c_str());
  if (opened == nullptr) return report;
  const Library nvml(*opened);
  report.driver_version = opened->driver_version();
  if (const int version = nvml.number("nvmlSystemGetCudaDriverVersion_v2", 0); version > 0) {
    report.cuda_version = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  }
  const unsigned count = nvml.number("nvmlDeviceGetCount_v2", 0u);
  for (unsigned i = 0; i < count; ++i) {
    Device device = nullptr;
    if (nvml.call("nvmlDeviceGetHandleByIndex_v2", i, &device) != kSuccess) continue;
    GpuFacts gpu = read_gpu(nvml, device);
    if (const auto memory = opened->memory_of(gpu.uuid)) {
      gpu.total = memory->total_bytes;
      gpu.free = memory->total_bytes - memory->used_bytes;
      for (const auto& p : memory->processes) gpu.processes.push_back({p.pid, p.name, p.used_bytes});
    }
    report.gpus.push_back(std::move(gpu));
  }
  return report;
}

}  // namespace lockstep::doctor
