// What the links between devices, and to the host, allow and give. For `lockstep doctor`.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/timing.h"

namespace lockstep {
namespace {

constexpr size_t kBytes = size_t{64} << 20;  // long enough that the start of a copy does not count
constexpr int kRepeats = 5;

struct FreeDevice {
  void operator()(void* data) const { cudaFree(data); }
};
struct FreeHost {
  void operator()(void* data) const { cudaFreeHost(data); }
};

std::unique_ptr<void, FreeDevice> allocate_on(int device) {
  cuda::check_cuda(cudaSetDevice(device), "cudaSetDevice");
  void* data = nullptr;
  cuda::check_cuda(cudaMalloc(&data, kBytes), "cudaMalloc for the measurement of a link");
  return std::unique_ptr<void, FreeDevice>(data);
}

}  // namespace

std::vector<std::vector<int>> probe_peer_access() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return {};
  }
  const auto n = static_cast<size_t>(count);
  std::vector<std::vector<int>> access(n, std::vector<int>(n, 0));
  for (int i = 0; i < count; ++i) {
    for (int j = 0; j < count; ++j) {
      int can = i == j ? 1 : 0;
      if (i != j && cudaDeviceCanAccessPeer(&can, i, j) != cudaSuccess) cudaGetLastError();
      access[static_cast<size_t>(i)][static_cast<size_t>(j)] = can;
    }
  }
  return access;
}

double measure_copy_bandwidth(int from, int to, int keep) {
  double rate = 0.0;
  {
    std::unique_ptr<void, FreeDevice> source;
    std::unique_ptr<void, FreeHost> host;
    if (from >= 0) {
      source = allocate_on(from);
    } else {
      void* data = nullptr;
      cuda::check_cuda(cudaSetDevice(to), "cudaSetDevice");
      cuda::check_cuda(cudaMallocHost(&data, kBytes), "cudaMallocHost for the measurement of a link");
      host.reset(data);
    }
    const auto target = allocate_on(to);
    bool peers = false;
    if (from >= 0 && from != to) {  // else the copy goes through the host
      const cudaError_t status = cudaDeviceEnablePeerAccess(from, 0);
      peers = status == cudaSuccess;
      if (!peers) cudaGetLastError();
    }
    float best = 0.0f;
    for (int i = 0; i <= kRepeats; ++i) {  // the first is for warming up
      cuda::Event start, stop;
      start.record(nullptr);
      if (from < 0) {
        cuda::check_cuda(cudaMemcpyAsync(target.get(), host.get(), kBytes, cudaMemcpyHostToDevice, nullptr), "copy to device");
      } else {
        cuda::check_cuda(cudaMemcpyPeerAsync(target.get(), to, source.get(), from, kBytes, nullptr), "copy between devices");
      }
      stop.record(nullptr);
      cuda::check_cuda(cudaDeviceSynchronize(), "copy between devices");
      const float seconds = stop.seconds_since(start);
      if (i > 0) best = i == 1 ? seconds : std::min(best, seconds);
    }
    if (peers) cudaDeviceDisablePeerAccess(from);
    rate = static_cast<double>(kBytes) / std::max(best, 1e-9f);
  }
  for (const int device : {from, to}) {
    if (device < 0 || device == keep) continue;
    cudaSetDevice(device);
    cudaDeviceReset();
  }
  if (keep >= 0) cuda::check_cuda(cudaSetDevice(keep), "cudaSetDevice");
  return rate;
}

}  // namespace lockstep
