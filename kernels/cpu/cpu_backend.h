// The backend that runs on the host's cores; made by make_cpu_backend() of kernels/backend.h.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"

namespace lockstep::cpu {

class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, const std::string& isa);
  ~CpuBackend() override;

  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string description() const override;

  void* allocate(size_t bytes, const std::string& what) override;
  void release(void* data) noexcept override;
  void* allocate_host(size_t bytes) override { return allocate(bytes, "host staging memory"); }
  void release_host(void* data) noexcept override { release(data); }

  void copy_to_device(void* device, const void* host, size_t bytes) override { copy(device, host, bytes); }
  void copy_to_host(void* host, const void* device, size_t bytes) override { copy(host, device, bytes); }
  void copy_on_device(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  void copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) override;
  void set_zero(void* device, size_t bytes) override;
  void synchronize() override {}

  DType activation_dtype(DType) const override { return DType::kFloat32; }
  MemoryInfo memory() const override;
  void* stream() const override { return nullptr; }
  Ops& ops() override { return ops_; }
  double measure_read_bandwidth(const void* data, size_t bytes) override;
  double time_on_device(const std::function<void()>& work, int repeats) override;

 private:
  void copy(void* to, const void* from, size_t bytes);

  const CpuKernels& kernels_;
  ThreadPool pool_;
  CpuOps ops_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> mapped_;  // blocks that came from mmap, and their length
};

}  // namespace lockstep::cpu
