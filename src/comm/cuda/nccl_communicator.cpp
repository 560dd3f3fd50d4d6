#include "comm/cuda/nccl_communicator.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <condition_variable>
#include <cstring>
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

// ncclCommInitRank on a thread of its own, so that a rank that never comes costs us the deadline and not for ever. A nonblocking
// NCCL communicator would do that, too, but would also start a thread for every collective and could not be captured in a CUDA
// graph.
class Initialization {
 public:
  void start(int device, int ranks, ncclUniqueId id, int rank) {
    std::thread([state = state_, device, ranks, id, rank] {
      ncclComm_t comm = nullptr;
      ncclResult_t result = ncclUnhandledCudaError;
      if (cudaSetDevice(device) == cudaSuccess) result = ncclCommInitRank(&comm, ranks, id, rank);
      const std::string message = result == ncclSuccess ? "" : ncclGetLastError(nullptr);
      const std::lock_guard lock(state->mutex);
      state->comm = comm;
      state->result = result;
      state->message = message;
      state->done = true;
      state->changed.notify_all();
    }).detach();
  }
  ncclComm_t wait(Seconds deadline) {
    std::unique_lock lock(state_->mutex);
    check(state_->changed.wait_for(lock, deadline, [&] { return state_->done; }),
          "NCCL did not connect the ranks within {:.0f} s; set NCCL_DEBUG=INFO to see what it waits for (often "
          "NCCL_SOCKET_IFNAME or a firewall)",
          deadline.count());
    check(state_->result == ncclSuccess, "NCCL could not connect the ranks: {}: {}; set NCCL_DEBUG=INFO for more",
          ncclGetErrorString(state_->result), state_->message);
    return state_->comm;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    ncclResult_t result = ncclSuccess;
    std::string message;
    ncclComm_t comm = nullptr;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();  // outlives us if the thread is stuck
};

}  // namespace

int nccl_version_number() {
  int version = 0;
  check(ncclGetVersion(&version) == ncclSuccess, "ncclGetVersion failed");
  return version;
}

NcclCommunicator::NcclCommunicator(const World& world, Backend& backend, int max_ranks_per_gpu)
    : world_(world), backend_(backend), version_(nccl_version_number()), exceptions_at_start_(std::uncaught_exceptions()) {
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

  int device = 0;
  cuda::check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  Initialization initialization;
  initialization.start(device, world.size(), id, world.rank());
  comm_ = initialization.wait(world.timeout());
}

NcclCommunicator::~NcclCommunicator() {
  if (comm_ == nullptr || aborted_) return;
  // ncclCommDestroy waits for work and peers; with an exception on its way out they may never come.
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    ncclCommAbort(comm_);
  } else {
    ncclCommDestroy(comm_);
  }
}

void NcclCommunicator::check_nccl(ncclResult_t status, const char* what) const {
  if (status == ncclSuccess) [[likely]]
    return;
  fail("{}: NCCL failed: {}: {}", what, ncclGetErrorString(status), ncclGetLastError(comm_));
}

std::string NcclCommunicator::description() const {
  return fmt::format("NCCL {}, {} ranks", nccl_version_text(version_), size());
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
