#include "tools/open_device.h"

#include "base/env.h"
#include "base/error.h"
#include "comm/communicator.h"

namespace lockstep {

std::unique_ptr<Backend> open_device(const World& world, DeviceChoice device, int threads) {
  const CudaPlatform platform = probe_cuda();
  const bool available = platform.built && platform.device_count > 0;
  const bool cuda = device == DeviceChoice::kCuda || (device == DeviceChoice::kAuto && available);
  std::unique_ptr<Backend> backend;
  world.phase("opening the device",
              [&] { check(available || !cuda, "--device cuda: {}; use --device cpu or auto", platform.why_unavailable); });
  const int index = cuda ? choose_cuda_device(world) : 0;
  world.phase("opening the device",
              [&] { backend = cuda ? make_cuda_backend(index) : make_cpu_backend(threads, Env::read().cpu_isa.value_or("")); });
  return backend;
}

}  // namespace lockstep
