#include "comm/cuda/peer_communicator.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/backoff.h"
#include "comm/peer_memory_size.h"
#include "kernels/cuda/launch.h"

namespace lockstep {
namespace {

using cuda::check_cuda;

int multiprocessors() {
  int device = 0, count = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}

// Integers that float16 holds, as does their sum over kMaxPeers ranks.
float test_value(int64_t i, int rank) { return static_cast<float>((i * 5 + rank * 3) % 17 - 8); }

}  // namespace

PeerCommunicator::PeerCommunicator(const World& world, Backend& backend, size_t max_bytes, int max_ranks_per_gpu)
    : world_(world), backend_(backend), exceptions_at_start_(std::uncaught_exceptions()) {
  view_.rank = world.rank();
  view_.size = world.size();
  view_.slot_bytes = peer_slot_bytes(max_bytes);
  const size_t bytes = peer_memory_bytes(max_bytes);
  try {
    cudaIpcMemHandle_t handle{};
    int blocks = 1;
    agree(world, "peer memory: allocate", [&] {
      check(view_.size <= cuda::kMaxPeers, "peer memory serves at most {} ranks, not {}", cuda::kMaxPeers, view_.size);
      blocks = std::clamp(multiprocessors() / max_ranks_per_gpu, 1, cuda::kPeerBlocks);
      check_cuda(cudaMalloc(&region_, bytes), fmt::format("allocate {} MiB for collectives", bytes >> 20).c_str());
      check_cuda(cudaMemset(region_, 0, bytes), "clear the memory for collectives");
      check_cuda(cudaDeviceSynchronize(), "clear the memory for collectives");
      check_cuda(cudaIpcGetMemHandle(&handle, region_), "cudaIpcGetMemHandle");
      check_cuda(cudaHostAlloc(reinterpret_cast<void**>(&host_words_), 2 * sizeof(uint32_t), cudaHostAllocMapped),
                 "cudaHostAlloc");
      std::fill_n(host_words_, 2, 0u);
    });
    view_.blocks = static_cast<int>(world.all_min(blocks, "peer memory: size of grids"));
    void* words = nullptr;
    const auto handles =
        world.all_gather({reinterpret_cast<const char*>(&handle), sizeof(handle)}, "peer memory: exchange of handles");
    agree(world, "peer memory: map", [&] {
      check_cuda(cudaHostGetDevicePointer(&words, host_words_, 0), "cudaHostGetDevicePointer");
      for (int r = 0; r < view_.size; ++r) {
        void* mapped = region_;
        if (r != view_.rank) {
          cudaIpcMemHandle_t theirs{};
          std::memcpy(&theirs, handles[static_cast<size_t>(r)].data(), sizeof(theirs));
          check_cuda(cudaIpcOpenMemHandle(&mapped, theirs, cudaIpcMemLazyEnablePeerAccess),
                     fmt::format("map the memory of {} (cudaIpcOpenMemHandle)", world.name_of(r)).c_str());
          opened_.push_back(mapped);
        }
        view_.region[r] = static_cast<std::byte*>(mapped);
      }
    });
    view_.abort = static_cast<uint32_t*>(words);
    view_.failed = static_cast<uint32_t*>(words) + 1;
  } catch (...) {
    close_regions();  // no kernel has run; a peer that has mapped ours keeps its mapping alive
    throw;
  }
}

PeerCommunicator::~PeerCommunicator() {
  if (aborted_ || std::uncaught_exceptions() > exceptions_at_start_) return;
  try {
    cudaDeviceSynchronize();
    world_.barrier("peer memory: last use");  // nobody reads our region any more
    for (void* mapped : opened_) cudaIpcCloseMemHandle(mapped);
    opened_.clear();
    world_.barrier("peer memory: all have unmapped");
    close_regions();
  } catch (const std::exception&) {
    // A peer is gone; the job is about to end.
  }
}

void PeerCommunicator::close_regions() noexcept {
  for (void* mapped : opened_) cudaIpcCloseMemHandle(mapped);
  opened_.clear();
  if (region_) cudaFree(region_);
  if (host_words_) cudaFreeHost(host_words_);
  region_ = nullptr;
  host_words_ = nullptr;
}

std::string PeerCommunicator::description() const { return fmt::format("peer memory (CUDA IPC), {} ranks", view_.size); }

std::optional<std::string> PeerCommunicator::async_error() {
  if (*static_cast<volatile uint32_t*>(host_words_ + 1) == 0) return {};
  return "a collective over peer memory was given up";
}

void PeerCommunicator::abort() noexcept {
  aborted_ = true;
  *static_cast<volatile uint32_t*>(host_words_) = 1;
}

void PeerCommunicator::do_all_reduce(TensorView x) {
  const auto stream = static_cast<cudaStream_t>(backend_.stream());
  const auto element = static_cast<int64_t>(size_of(x.dtype));
  const int64_t piece = static_cast<int64_t>(view_.slot_bytes) / element;
  for (int64_t begin = 0; begin < x.count(); begin += piece) {
    cuda::launch_peer_all_reduce(stream, view_, x.as<std::byte>() + begin * element, x.dtype, std::min(piece, x.count() - begin));
  }
}

void PeerCommunicator::do_all_gather(void* recv, const void* send, size_t bytes) {
  const auto stream = static_cast<cudaStream_t>(backend_.stream());
  for (size_t begin = 0; begin < bytes; begin += view_.slot_bytes) {
    cuda::launch_peer_all_gather(stream, view_, static_cast<std::byte*>(recv) + begin, bytes,
                                 static_cast<const std::byte*>(send) + begin, std::min(view_.slot_bytes, bytes - begin));
  }
}

void PeerCommunicator::self_test(Seconds deadline) {
  agree(world_, "peer memory: self-test", [&] {
    for (const int64_t count : {int64_t{1}, int64_t{4097}, int64_t{100'003}}) test_size(count, deadline);
  });
}

void PeerCommunicator::test_size(int64_t count, Seconds deadline) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float), ranks = static_cast<size_t>(size());
  const Buffer x(backend_, bytes, "self-test of collectives"), all(backend_, bytes * ranks, "self-test of collectives");
  std::vector<float> sum(static_cast<size_t>(count)), gathered(static_cast<size_t>(count) * ranks);
  for (int64_t i = 0; i < count; ++i) sum[static_cast<size_t>(i)] = test_value(i, rank());
  for (int round = 0; round < 3; ++round) {  // both slots, and the first again
    backend_.copy_to_device(x.data(), sum.data(), bytes);
    do_all_gather(all.data(), x.data(), bytes);
    do_all_reduce({x.data(), DType::kFloat32, 1, count});
    wait_for_stream(deadline);
    std::vector<float> result(static_cast<size_t>(count));
    backend_.copy_to_host(result.data(), x.data(), bytes);
    backend_.copy_to_host(gathered.data(), all.data(), bytes * ranks);
    wait_for_stream(deadline);
    for (int64_t i = 0; i < count; ++i) {
      float expected = 0.0f;
      for (int r = 0; r < size(); ++r) {
        const float theirs = gathered[static_cast<size_t>(r * count + i)];
        check(theirs == test_value(i, r),
              "peer memory fails its self-test: gathering {} floats, element {} of rank {} is {}, expected {}", count, i, r,
              theirs, test_value(i, r));
        expected += theirs;
      }
      const float value = result[static_cast<size_t>(i)];
      check(value == expected, "peer memory fails its self-test: in a sum of {} floats, element {} is {}, expected {}", count, i,
            value, expected);
    }
  }
}

void PeerCommunicator::wait_for_stream(Seconds deadline) {
  const auto stream = static_cast<cudaStream_t>(backend_.stream());
  Backoff backoff(world_.cores_are_scarce());
  while (true) {
    const cudaError_t status = cudaStreamQuery(stream);
    if (status == cudaSuccess) return;
    if (status != cudaErrorNotReady) check_cuda(status, "peer memory: self-test");
    if (backoff.elapsed() > deadline) {
      abort();  // the kernels give up, here now and on the other ranks at their own deadline
      cudaStreamSynchronize(stream);
      fail("peer memory fails its self-test: no result within {:.0f} s", deadline.count());
    }
    backoff.pause();
  }
}

}  // namespace lockstep
