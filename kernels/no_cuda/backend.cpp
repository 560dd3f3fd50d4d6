// What a build without CUDA says of it.
#include "kernels/backend.h"

#include "base/error.h"

namespace lockstep {
namespace {

constexpr const char* kWhy =
    "this build of lockstep has no CUDA; build the preset `cuda` (needs the CUDA Toolkit), or use --device cpu";

}  // namespace

CudaPlatform probe_cuda() {
  CudaPlatform platform;
  platform.why_unavailable = kWhy;
  return platform;
}

CudaDevice describe_cuda_device(int index) { fail("CUDA device {}: {}", index, kWhy); }

std::vector<std::vector<int>> probe_peer_access() { return {}; }

double measure_copy_bandwidth(int from, int to, int /*keep*/) { fail("copy from CUDA device {} to {}: {}", from, to, kWhy); }

std::unique_ptr<Backend> make_cuda_backend(int device_index, bool /*batch_invariant*/) {
  fail("CUDA device {}: {}", device_index, kWhy);
}

}  // namespace lockstep
