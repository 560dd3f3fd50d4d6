#include "comm/cuda/nccl_communicator.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/env.h"
#include "base/error.h"
#include "comm/transport_choice.h"
#include "kernels/cuda/launch.h"

namespace lockstep {
namespace {

ncclDataType_t nccl_type(DType t) {
  switch (t) {
    case DType::kBFloat16: return ncclBfloat16;
    case DType::kFloat16: return ncclFloat16;
    default: return ncclFloat32;
  }
}

// A collective call of NCCL's on a thread of its own, so that a rank that never comes costs us the deadline and not for ever:
// throws Error that says `what` and who is missing. A nonblocking NCCL communicator would do that, too, but would also start a
// thread for every collective and could not be captured in a CUDA graph. `call` must own what it uses: it goes on if it is stuck.
ncclResult_t call_in_time(const World& world, const std::string& what, const std::function<ncclResult_t()>& call) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    ncclResult_t result = ncclSuccess;
  };
  int device = 0;
  cuda::check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  const auto state = std::make_shared<State>();
  std::thread([state, device, call] {
    const ncclResult_t result = cudaSetDevice(device) == cudaSuccess ? call() : ncclUnhandledCudaError;
    const std::lock_guard lock(state->mutex);
    state->result = result;
    state->done = true;
    state->changed.notify_all();
  }).detach();
  std::unique_lock lock(state->mutex);
  // So early that it is known who does not answer when the time is up.
  const Seconds early = std::min(Seconds(RollCall::kPatience), world.timeout() / 2.0);
  if (!state->changed.wait_for(lock, world.timeout() - early, [&] { return state->done; })) {
    fail("{} within {:.0f} s; {}; set NCCL_DEBUG=INFO to see what NCCL waits for (often NCCL_SOCKET_IFNAME or a firewall)", what,
         world.timeout().count(), world.who_is_missing());
  }
  return state->result;
}

// Windows came with 2.27; what they bring was measured from 2.30.7 on. Looked up, because the NCCL that is found when the program
// starts may be older than the one it was built with.
constexpr int kNcclWindows = 23007;
constexpr int kSymmetric = 1;  // NCCL_WIN_COLL_SYMMETRIC
using RegisterWindow = ncclResult_t (*)(ncclComm_t, void*, size_t, void** window, int flags);
using DeregisterWindow = ncclResult_t (*)(ncclComm_t, void* window);

template <typename Function>
Function find_function(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

int nccl_version_number() {
  int version = 0;
  check(ncclGetVersion(&version) == ncclSuccess, "ncclGetVersion failed");
  return version;
}

NcclCommunicator::NcclCommunicator(const World& world, Backend& backend, int max_ranks_per_gpu, bool with_windows)
    : world_(world),
      backend_(backend),
      version_(nccl_version_number()),
      with_windows_(with_windows && version_ >= kNcclWindows &&
                    find_function<RegisterWindow>("ncclCommWindowRegister") != nullptr),
      exceptions_at_start_(std::uncaught_exceptions()) {
  world.require_same("the version of NCCL", nccl_version_text(version_));
  Env::set_default("NCCL_NVLS_ENABLE", "0");
  if (max_ranks_per_gpu > 1) {
    // Without the limit, the kernels of ranks on one GPU do not all fit and wait for each other for ever.
    Env::set_default("NCCL_MULTI_RANK_GPU_ENABLE", "1");
    Env::set_default("NCCL_MAX_CTAS", std::to_string(nccl_max_ctas(max_ranks_per_gpu)));
  }
  ncclUniqueId id{};
  ncclResult_t status = ncclSuccess;
  if (world.is_root()) status = ncclGetUniqueId(&id);
  const std::string sent =
      world.broadcast(status == ncclSuccess ? std::string(id.internal, sizeof(id.internal)) : "", "the NCCL id");
  check(sent.size() == sizeof(id.internal), "ncclGetUniqueId failed on rank 0{}{}", world.is_root() ? ": " : "",
        world.is_root() ? ncclGetErrorString(status) : "");
  std::memcpy(id.internal, sent.data(), sizeof(id.internal));

  struct Opened {
    ncclComm_t comm = nullptr;
    std::string message;
  };
  const auto opened = std::make_shared<Opened>();
  status = call_in_time(world, "NCCL did not connect the ranks", [opened, ranks = world.size(), rank = world.rank(), id] {
    const ncclResult_t result = ncclCommInitRank(&opened->comm, ranks, id, rank);
    if (result != ncclSuccess) opened->message = ncclGetLastError(nullptr);
    return result;
  });
  check(status == ncclSuccess, "NCCL could not connect the ranks: {}: {}; set NCCL_DEBUG=INFO for more",
        ncclGetErrorString(status), opened->message);
  comm_ = opened->comm;
}

NcclCommunicator::~NcclCommunicator() {
  if (comm_ == nullptr || aborted_) return;
  // ncclCommDestroy waits for work and peers; with an exception on its way out they may never come.
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    ncclCommAbort(comm_);  // a window that a peer may still use is left to the end of the process
    return;
  }
  const auto deregister = find_function<DeregisterWindow>("ncclCommWindowDeregister");
  if (!windows_.empty()) cudaDeviceSynchronize();
  for (const Window& window : windows_) deregister(comm_, window.handle);
  ncclCommDestroy(comm_);
  for (const Window& window : windows_) ncclMemFree(window.memory);
}

void NcclCommunicator::check_nccl(ncclResult_t status, const char* what) const {
  if (status == ncclSuccess) [[likely]]
    return;
  fail("{}: NCCL failed: {}: {}", what, ncclGetErrorString(status), ncclGetLastError(comm_));
}

std::string NcclCommunicator::description() const {
  return fmt::format("NCCL {}, {} ranks{}", nccl_version_text(version_), size(), with_windows_ ? ", symmetric memory" : "");
}

void* NcclCommunicator::allocate(Backend& backend, size_t bytes, const std::string& what) {
  if (with_windows_) {
    const auto largest = static_cast<size_t>(world_.all_max(static_cast<int64_t>(bytes), "NCCL: size of a window"));
    void* const memory = largest > 0 ? allocate_window(largest, what) : nullptr;
    if (memory != nullptr) return memory;
    with_windows_ = largest == 0;
  }
  return Communicator::allocate(backend, bytes, what);
}

void* NcclCommunicator::allocate_window(size_t bytes, const std::string& what) {
  const auto window = std::make_shared<Window>();
  ncclResult_t status = ncclMemAlloc(&window->memory, bytes);
  const auto works_on_all = [&](const char* step) {
    const auto all = world_.all_gather(status == ncclSuccess ? "" : ncclGetErrorString(status), "NCCL: a symmetric window");
    const auto failed = std::find_if(all.begin(), all.end(), [](const std::string& text) { return !text.empty(); });
    if (failed == all.end()) return true;
    if (world_.is_root()) {
      spdlog::warn("NCCL {} has no symmetric memory of {} bytes for {} ({}, {}: {}); it goes on without",
                   nccl_version_text(version_), bytes, what, step, world_.name_of(static_cast<int>(failed - all.begin())),
                   *failed);
    }
    if (window->memory != nullptr) ncclMemFree(window->memory);
    return false;
  };
  if (!works_on_all("ncclMemAlloc")) return nullptr;
  status = call_in_time(world_, fmt::format("NCCL did not register {} bytes for {} with all ranks", bytes, what),
                        [window, bytes, comm = comm_] {
                          const auto register_window = find_function<RegisterWindow>("ncclCommWindowRegister");
                          return register_window(comm, window->memory, bytes, &window->handle, kSymmetric);
                        });
  if (status == ncclSuccess && window->handle == nullptr) status = ncclInvalidUsage;  // it may decline without an error
  if (!works_on_all("ncclCommWindowRegister")) return nullptr;
  cuda::check_cuda(cudaMemset(window->memory, 0, bytes), "clear a symmetric window");
  cuda::check_cuda(cudaDeviceSynchronize(), "clear a symmetric window");
  windows_.push_back(*window);
  return window->memory;
}

std::optional<std::string> NcclCommunicator::async_error() {
  ncclResult_t status = ncclSuccess;
  if (aborted_ || ncclCommGetAsyncError(comm_, &status) != ncclSuccess) return {};
  if (status == ncclSuccess || status == ncclInProgress) return {};
  return fmt::format("NCCL reports: {}: {}", ncclGetErrorString(status), ncclGetLastError(comm_));
}

void NcclCommunicator::abort() noexcept {
  if (!aborted_.exchange(true)) ncclCommAbort(comm_);
}

void NcclCommunicator::do_all_reduce(TensorView x) {
  const auto stream = static_cast<cudaStream_t>(backend_.stream());
  check_nccl(ncclAllReduce(x.data, x.data, static_cast<size_t>(x.count()), nccl_type(x.dtype), ncclSum, comm_, stream),
             "all_reduce");
}

void NcclCommunicator::do_all_gather(void* recv, const void* send, size_t bytes) {
  const auto stream = static_cast<cudaStream_t>(backend_.stream());
  check_nccl(ncclAllGather(send, recv, bytes, ncclInt8, comm_, stream), "all_gather");
}

}  // namespace lockstep
