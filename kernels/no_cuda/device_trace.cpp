// What a build without CUPTI says of tracing the device.
#include "kernels/device_trace.h"

namespace lockstep {

std::unique_ptr<DeviceTracer> make_device_tracer(std::string& why_not) {
  why_not = "this build of lockstep has no CUPTI (a part of the CUDA Toolkit)";
  return nullptr;
}

}  // namespace lockstep
