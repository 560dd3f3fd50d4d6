// Backend: where tensors live and where ops run: the host's cores or one CUDA device. One per process, made at start-up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace lockstep {

class Ops;

enum class DeviceKind { kCpu, kCuda };

struct MemoryInfo {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
};

// Work that was recorded once and is launched as a whole: a CUDA graph.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  virtual void launch() = 0;
};

// A place in the stream that the host can wait for. This one is for backends whose calls are complete when they return.
class StreamMark {
 public:
  virtual ~StreamMark() = default;
  virtual void record() {}
  // Until the stream has passed the last record(). Throws Error if the work before it failed.
  virtual void wait() {}
};

// All work is ordered on the backend's one stream, but for what is given to its side stream; on the CPU every call is complete
// when it returns.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceKind kind() const = 0;
  virtual std::string description() const = 0;  // "cpu avx512bf16, 2 threads" or "cuda:0 NVIDIA H100 80GB HBM3 (GPU-…)"

  // Device memory, 256-byte aligned, contents undefined. `what` names the purpose in the error that is thrown when there is
  // not enough: how much was asked for, how much is free, and what for.
  virtual void* allocate(size_t bytes, const std::string& what) = 0;
  virtual void release(void* data) noexcept = 0;
  // Host memory that the device can copy from and to without staging (pinned on CUDA).
  virtual void* allocate_host(size_t bytes) = 0;
  virtual void release_host(void* data) noexcept = 0;

  // Ordered on the stream. Host memory from allocate_host() must stay untouched until the stream has passed the copy.
  virtual void copy_to_device(void* device, const void* host, size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* device, size_t bytes) = 0;
  virtual void copy_on_device(void* to, const void* from, size_t bytes) = 0;
  // `height` rows of `width` bytes each, `*_pitch` bytes apart; device to device.
  virtual void copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) = 0;
  virtual void set_zero(void* device, size_t bytes) = 0;
  virtual void synchronize() = 0;  // throws Error if any earlier work failed
  virtual std::unique_ptr<StreamMark> make_mark() { return std::make_unique<StreamMark>(); }

  // Whether the host may run ahead of the device, and record() makes something.
  virtual bool is_asynchronous() const { return false; }
  // Records the ops and copies on the device that `work` issues, without running them. They must have run before in the same
  // shapes, so that nothing is left to allocate. Null where the backend has no such thing.
  virtual std::unique_ptr<RecordedWork> record(const std::function<void()>& /*work*/) { return nullptr; }

  // For ops and collectives that run beside others (SideStream below). Does nothing where every call is complete when it returns.
  virtual void enter_side_stream() {}
  virtual void leave_side_stream(int /*mark*/) {}
  virtual void wait_for_side_stream(int /*mark*/) {}

  // The dtype of activations between linears when weights are `weights`: float32 on the CPU, the weights' own on CUDA.
  virtual DType activation_dtype(DType weights) const = 0;
  virtual MemoryInfo memory() const = 0;
  virtual void* stream() const = 0;  // cudaStream_t, of what is issued now; null on the CPU

  virtual Ops& ops() = 0;

  // Sustained read bandwidth in bytes/s, measured now; the floor that `bench` prints. data: device memory to read, so that
  // nothing is allocated and the figure is that of this very memory (its weights, say; a model that fits a cache reads at the
  // cache's speed); nullptr: a buffer of its own, well past the caches.
  virtual double measure_read_bandwidth(const void* data = nullptr, size_t bytes = 0) = 0;

  // Median seconds of `repeats` runs of `work`, which issues ops and nothing else, after one run to warm up. Only the device's
  // time counts: on CUDA the ops are captured in a graph, whose launches are timed by events.
  virtual double time_on_device(const std::function<void()>& work, int repeats) = 0;
};

// While one of these lives, what is issued goes to the backend's side stream: after everything issued before, and beside what is
// issued later, until that waits for its mark.
class [[nodiscard]] SideStream {
 public:
  static constexpr int kMarks = 2;
  // mark: 0 .. kMarks - 1. A later one of the same number takes its place.
  SideStream(Backend& backend, int mark) : backend_(backend), mark_(mark) { backend_.enter_side_stream(); }
  ~SideStream() { backend_.leave_side_stream(mark_); }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;
  // What is issued from here on comes after what was under that mark.
  static void wait(Backend& backend, int mark) { backend.wait_for_side_stream(mark); }

 private:
  Backend& backend_;
  const int mark_;
};

// A device buffer that frees itself.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, size_t bytes, const std::string& what)
      : backend_(&backend), data_(bytes ? backend.allocate(bytes, what) : nullptr), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_) backend_->release(data_);
  }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// threads >= 1. isa: "" (best that the processor has), "scalar", "avx2", "avx512", "avx512bf16" or "amxbf16".
std::unique_ptr<Backend> make_cpu_backend(int threads, const std::string& isa = "");

// What the CUDA part knows of the machine without touching a context. All empty in a build without CUDA or without a driver.
struct CudaDevice {
  int index = 0;     // ordinal within CUDA_VISIBLE_DEVICES
  std::string uuid;  // "GPU-…"
  std::string name;
  size_t total_bytes = 0;
  int compute_major = 0, compute_minor = 0;
};
struct CudaPlatform {
  bool built = false;          // this binary has CUDA code
  std::string driver_version;  // empty without a driver
  std::string runtime_version;
  std::string why_unavailable;  // for the error message when the user insists on --device cuda
  int device_count = 0;
};
CudaPlatform probe_cuda();  // never throws, creates no context
CudaDevice describe_cuda_device(int index);
// [i][j]: 1 where device i may read the memory of device j, which is what peer memory needs; [i][i] is 1. Never throws.
std::vector<std::vector<int>> probe_peer_access();
// Bytes/s of a copy from one visible device to another (the same: within it) or, with from -1, from pinned host memory. Makes a
// context on each device, which is destroyed again where `keep` is not that device. Throws Error where it cannot.
double measure_copy_bandwidth(int from, int to, int keep);
// Throws Error when the build, the driver or the device is missing, saying which.
// batch_invariant: the order in which a row is summed does not depend on the other rows of a call, nor on how a prompt was cut
// into calls, at some cost in speed (the CPU's never does).
std::unique_ptr<Backend> make_cuda_backend(int device_index, bool batch_invariant = false);

}  // namespace lockstep
