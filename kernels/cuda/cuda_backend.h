// CudaBackend: one CUDA device with one stream, and another beside it.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_ops.h"

namespace lockstep::cuda {

// Used by the thread that made it (the CUDA device is a property of the thread).
class CudaBackend : public Backend {
 public:
  CudaBackend(int device_index, bool batch_invariant);
  ~CudaBackend() override;

  DeviceKind kind() const override { return DeviceKind::kCuda; }
  std::string description() const override { return description_; }

  void* allocate(size_t bytes, const std::string& what) override;
  void release(void* data) noexcept override;
  void* allocate_host(size_t bytes) override;
  void release_host(void* data) noexcept override;

  // Host memory may also be pageable: the copy is then staged, and copy_to_host() waits for it.
  void copy_to_device(void* device, const void* host, size_t bytes) override;
  void copy_to_host(void* host, const void* device, size_t bytes) override;
  void copy_on_device(void* to, const void* from, size_t bytes) override;
  void copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) override;
  void set_zero(void* device, size_t bytes) override;
  void synchronize() override;
  std::unique_ptr<StreamMark> make_mark() override;
  bool is_asynchronous() const override { return true; }
  std::unique_ptr<RecordedWork> record(const std::function<void()>& work) override;

  void enter_side_stream() override;
  void leave_side_stream(int mark) override;
  void wait_for_side_stream(int mark) override;

  DType activation_dtype(DType weights) const override { return weights; }
  MemoryInfo memory() const override;
  void* stream() const override { return stream_; }  // one of the two
  Ops& ops() override { return *ops_; }
  double measure_read_bandwidth(const void* data, size_t bytes) override;
  double time_on_device(const std::function<void()>& work, int repeats) override;

 private:
  void release_all() noexcept;
  void use_stream(cudaStream_t stream);

  std::string description_;
  Launch launch_;
  cudaStream_t main_ = nullptr, side_ = nullptr;
  cudaStream_t stream_ = nullptr;  // where what is issued goes
  cudaEvent_t fork_ = nullptr;
  std::array<cudaEvent_t, SideStream::kMarks> joins_{};
  void* cublas_workspace_ = nullptr;
  std::unique_ptr<CudaOps> ops_;
};

}  // namespace lockstep::cuda
