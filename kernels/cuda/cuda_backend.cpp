#include "kernels/cuda/cuda_backend.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/linear_stream.h"
#include "kernels/cuda/timing.h"

namespace lockstep {
namespace cuda {
namespace {

constexpr size_t kProbeBytes = size_t{1} << 30;  // of the bandwidth probe: far past any L2
constexpr size_t kSmallestProbeBytes = size_t{256} << 20;

std::string gib(size_t bytes) { return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30)); }

class CudaRecordedWork : public RecordedWork {
 public:
  CudaRecordedWork(cudaStream_t stream, const std::function<void()>& work) : graph_(stream, work) {}
  void launch() override { graph_.launch(); }

 private:
  Graph graph_;
};

class CudaStreamMark : public StreamMark {
 public:
  explicit CudaStreamMark(cudaStream_t stream) : stream_(stream) {
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
  }
  ~CudaStreamMark() override { cudaEventDestroy(event_); }
  CudaStreamMark(const CudaStreamMark&) = delete;
  CudaStreamMark& operator=(const CudaStreamMark&) = delete;
  void record() override { check_cuda(cudaEventRecord(event_, stream_), "cudaEventRecord"); }
  void wait() override { check_cuda(cudaEventSynchronize(event_), "work on the device"); }

 private:
  cudaStream_t stream_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace

CudaBackend::CudaBackend(int device_index, bool batch_invariant) {
  const CudaDevice device = describe_cuda_device(device_index);
  description_ = fmt::format("cuda:{} {} ({})", device_index, device.name, device.uuid);
  check(device.compute_major >= 8, "{} has compute capability {}.{}; Lockstep needs 8.0 (Ampere) or newer", description_,
        device.compute_major, device.compute_minor);
  check_cuda(cudaSetDevice(device_index), "cudaSetDevice");
  int sm_count = 0;
  check_cuda(cudaDeviceGetAttribute(&sm_count, cudaDevAttrMultiProcessorCount, device_index), "cudaDeviceGetAttribute");
  try {
    // The exchange of one half of a step is what the other half waits for next: its kernels go first where both want the device.
    int lowest = 0, highest = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "cudaDeviceGetStreamPriorityRange");
    check_cuda(cudaStreamCreateWithPriority(&main_, cudaStreamNonBlocking, lowest), "cudaStreamCreateWithPriority");
    check_cuda(cudaStreamCreateWithPriority(&side_, cudaStreamNonBlocking, highest), "cudaStreamCreateWithPriority");
    check_cuda(cudaEventCreateWithFlags(&fork_, cudaEventDisableTiming), "cudaEventCreate");
    for (cudaEvent_t& join : joins_) check_cuda(cudaEventCreateWithFlags(&join, cudaEventDisableTiming), "cudaEventCreate");
    stream_ = launch_.stream = main_;
    launch_.sm_count = sm_count;
    launch_.batch_invariant = batch_invariant;
    launch_.overlap = device.compute_major >= 9;
#if defined(LOCKSTEP_SM90A)
    launch_.hopper = device.compute_major == 9;
#endif
    launch_.scratch_bytes = scratch_bytes_needed(sm_count);
    launch_.scratch = allocate(launch_.scratch_bytes, "kernel scratch");
    launch_.counters = static_cast<uint32_t*>(allocate(kCounters * sizeof(uint32_t), "kernel counters"));
    set_zero(launch_.counters, kCounters * sizeof(uint32_t));
    launch_.squares = static_cast<float*>(allocate(kSquaresBytes, "sums of squares of rows"));
    cublas_workspace_ = allocate(kCublasWorkspaceBytes, "cuBLASLt workspace");
    ops_ = std::make_unique<CudaOps>(launch_, cublas_workspace_, kCublasWorkspaceBytes);
  } catch (...) {
    release_all();
    throw;
  }
}

CudaBackend::~CudaBackend() { release_all(); }

void CudaBackend::release_all() noexcept {
  for (cudaStream_t stream : {main_, side_}) {
    if (stream) cudaStreamSynchronize(stream);
  }
  ops_.reset();
  release(cublas_workspace_);
  release(launch_.scratch);
  release(launch_.counters);
  release(launch_.squares);
  for (cudaEvent_t join : joins_) {
    if (join) cudaEventDestroy(join);
  }
  if (fork_) cudaEventDestroy(fork_);
  for (cudaStream_t stream : {main_, side_}) {
    if (stream) cudaStreamDestroy(stream);
  }
}

void CudaBackend::use_stream(cudaStream_t stream) {
  stream_ = stream;
  ops_->use_stream(stream);
}

void CudaBackend::enter_side_stream() {
  check_cuda(cudaEventRecord(fork_, main_), "cudaEventRecord");
  check_cuda(cudaStreamWaitEvent(side_, fork_), "cudaStreamWaitEvent");
  use_stream(side_);
}

void CudaBackend::leave_side_stream(int mark) {
  cudaEventRecord(joins_[static_cast<size_t>(mark)], side_);  // called by a destructor; an error is met again by what follows
  use_stream(main_);
}

void CudaBackend::wait_for_side_stream(int mark) {
  check_cuda(cudaStreamWaitEvent(main_, joins_[static_cast<size_t>(mark)]), "cudaStreamWaitEvent");
}

void* CudaBackend::allocate(size_t bytes, const std::string& what) {
  if (bytes == 0) return nullptr;
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky; the next launch must not report it
    const MemoryInfo info = memory();
    fail(
        "{}: out of memory: {} bytes ({}) were asked for {}, {} of {} are free; use more GPUs, a lower --gpu-memory-utilization "
        "or "
        "--max-model-len, or stop other programs on this GPU",
        description_, bytes, gib(bytes), what, gib(info.free_bytes), gib(info.total_bytes));
  }
  check_cuda(status, "cudaMalloc");
  return data;
}

void CudaBackend::release(void* data) noexcept {
  if (data) cudaFree(data);
}

void* CudaBackend::allocate_host(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* data = nullptr;
  const cudaError_t status = cudaMallocHost(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(
        "{}: {} bytes ({}) of pinned host memory are not to be had; check the limit on locked memory (ulimit -l) and the memory "
        "of "
        "the job",
        description_, bytes, gib(bytes));
  }
  check_cuda(status, "cudaMallocHost");
  return data;
}

void CudaBackend::release_host(void* data) noexcept {
  if (data) cudaFreeHost(data);
}

void CudaBackend::copy_to_device(void* device, const void* host, size_t bytes) {
  if (bytes) check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "copy to device");
}

void CudaBackend::copy_to_host(void* host, const void* device, size_t bytes) {
  if (bytes) check_cuda(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "copy to host");
}

void CudaBackend::copy_on_device(void* to, const void* from, size_t bytes) {
  if (bytes) check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copy on device");
}

void CudaBackend::copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) {
  if (width == 0 || height == 0) return;
  check_cuda(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, cudaMemcpyDeviceToDevice, stream_),
             "2-D copy on device");
}

void CudaBackend::set_zero(void* device, size_t bytes) {
  if (bytes) check_cuda(cudaMemsetAsync(device, 0, bytes, stream_), "set to zero");
}

void CudaBackend::synchronize() {
  const cudaError_t status = cudaStreamSynchronize(stream_);
  check(status == cudaSuccess, "{}: earlier work failed: {} ({})", description_, cudaGetErrorName(status),
        cudaGetErrorString(status));
}

std::unique_ptr<StreamMark> CudaBackend::make_mark() { return std::make_unique<CudaStreamMark>(stream_); }

std::unique_ptr<RecordedWork> CudaBackend::record(const std::function<void()>& work) {
  return std::make_unique<CudaRecordedWork>(stream_, work);
}

MemoryInfo CudaBackend::memory() const {
  MemoryInfo info;
  check_cuda(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "cudaMemGetInfo");
  return info;
}

double CudaBackend::time_on_device(const std::function<void()>& work, int repeats) {
  return time_as_graph(stream_, work, repeats);
}

double CudaBackend::measure_read_bandwidth(const void* data, size_t bytes) {
  constexpr int kRepeats = 8;
  Buffer own;
  if (data == nullptr) {
    bytes = std::clamp(memory().free_bytes / 2, kSmallestProbeBytes, kProbeBytes) / 16 * 16;
    own = Buffer(*this, bytes, "the bandwidth probe");
    data = own.data();
    launch_fill_random(launch_, TensorView(own.data(), DType::kFloat32, 1, static_cast<int64_t>(bytes / sizeof(float))), 1, 1.0f,
                       0, 0, 0);
  }
  bytes = std::min(bytes, kProbeBytes) / 16 * 16;
  check(bytes > 0, "the bandwidth probe needs at least 16 bytes to read");
  const Buffer sink(*this, sizeof(uint32_t), "the bandwidth probe");
  set_zero(sink.data(), sink.bytes());
  launch_read(launch_, data, bytes, sink.as<uint32_t>());  // warm-up
  Event start, stop;
  float best = 0.0f;
  for (int i = 0; i < kRepeats; ++i) {
    start.record(stream_);
    launch_read(launch_, data, bytes, sink.as<uint32_t>());
    stop.record(stream_);
    synchronize();
    const float seconds = stop.seconds_since(start);
    if (i == 0 || seconds < best) best = seconds;
  }
  return static_cast<double>(bytes) / best;
}

}  // namespace cuda

std::unique_ptr<Backend> make_cuda_backend(int device_index, bool batch_invariant) {
  const CudaPlatform platform = probe_cuda();
  check(platform.device_count > 0, "no CUDA device: {}", platform.why_unavailable);
  check(device_index >= 0 && device_index < platform.device_count,
        "CUDA device {} does not exist: {} visible (see CUDA_VISIBLE_DEVICES)", device_index, platform.device_count);
  return std::make_unique<cuda::CudaBackend>(device_index, batch_invariant);
}

}  // namespace lockstep
