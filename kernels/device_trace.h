// DeviceTracer: what ran on the device and when, for --profile: every kernel by name, those inside CUDA graphs included.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lockstep {

struct DeviceSpan {
  std::string name;      // of the kernel, without its namespaces and parameters; or "copy …", "set"
  uint32_t stream = 0;   // as the driver numbers them
  int64_t begin_ns = 0;  // of Trace::now_ns()
  int64_t end_ns = 0;
};

// One at a time. Slows the host down while it records.
class DeviceTracer {
 public:
  virtual ~DeviceTracer() = default;
  virtual void start() = 0;
  // Waits for the device. What ended since start(), in the order of the beginnings.
  virtual std::vector<DeviceSpan> stop() = 0;
};

// Make it before the first CUDA graph is made, or that graph's kernels may be missing. Null where there is nothing to record
// with; why_not then says why.
std::unique_ptr<DeviceTracer> make_device_tracer(std::string& why_not);

}  // namespace lockstep
