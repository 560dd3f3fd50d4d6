// What the machine has, asked of the CUDA runtime without creating a context. Works where no driver is installed, too: the
// runtime is linked statically and looks for the driver itself.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/cuda/launch.h"

namespace lockstep {
namespace {

std::string version_name(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

std::string uuid_name(const cudaUUID_t& uuid) {
  std::string name = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) name += '-';
    name += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return name;
}

}  // namespace

CudaPlatform probe_cuda() {
  CudaPlatform platform;
  platform.built = true;
  int version = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) platform.runtime_version = version_name(version);
  version = 0;
  const bool has_driver = cudaDriverGetVersion(&version) == cudaSuccess && version > 0;
  if (has_driver) platform.driver_version = version_name(version);
  const cudaError_t status = cudaGetDeviceCount(&platform.device_count);
  if (status != cudaSuccess) {
    platform.device_count = 0;
    platform.why_unavailable = !has_driver ? std::string("no NVIDIA driver is installed (libcuda.so.1 was not found)")
                                           : fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
    cudaGetLastError();
  } else if (platform.device_count == 0) {
    platform.why_unavailable = "the driver sees no device (see CUDA_VISIBLE_DEVICES)";
  }
  return platform;
}

CudaDevice describe_cuda_device(int index) {
  cudaDeviceProp properties = {};
  cuda::check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  CudaDevice device;
  device.index = index;
  device.uuid = uuid_name(properties.uuid);
  device.name = properties.name;
  device.total_bytes = properties.totalGlobalMem;
  device.compute_major = properties.major;
  device.compute_minor = properties.minor;
  return device;
}

}  // namespace lockstep
