// AllGather over peer memory: block b of every rank copies its slice into its own slot, meets block b of the others, and reads
// theirs. There is no second meeting: two slots in turns (peer_sync.cuh).
#include <algorithm>

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/peer_collectives.h"
#include "kernels/cuda/peer_sync.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kBytes = 16;  // moved at a time

// Bytes [begin, end), where `slot` + begin is aligned: to or from a place at any address.
template <bool kToSlot>
__device__ void copy_slice(uint8_t* to, const uint8_t* from, int64_t begin, int64_t end) {
  const bool aligned = reinterpret_cast<uintptr_t>(kToSlot ? from : to) % kBytes == 0;
  const int64_t whole = aligned ? begin + (end - begin) / kBytes * kBytes : begin;
  for (int64_t i = begin + threadIdx.x * kBytes; i < whole; i += kPeerThreads * kBytes) {
    *reinterpret_cast<uint4*>(to + i) = *reinterpret_cast<const uint4*>(from + i);
  }
  for (int64_t i = whole + threadIdx.x; i < end; i += kPeerThreads) to[i] = from[i];
}

__global__ void __launch_bounds__(kPeerThreads)
    peer_all_gather(PeerView view, uint8_t* recv, int64_t recv_stride, const uint8_t* send, int64_t bytes) {
  const int64_t each = (bytes + gridDim.x * kBytes - 1) / (gridDim.x * kBytes) * kBytes;
  const int64_t begin = blockIdx.x * each < bytes ? blockIdx.x * each : bytes;
  const int64_t end = begin + each < bytes ? begin + each : bytes;
  wait_for_previous();
  const uint64_t call = this_peer_call(view);
  copy_slice<true>(reinterpret_cast<uint8_t*>(slot(view, view.rank, call)), send, begin, end);
  if (!meet_peers(view, kPeerStartedOffset, call)) return;
  if (threadIdx.x == 0) end_peer_call(view, call);
  for (int r = 0; r < view.size; ++r) {
    copy_slice<false>(recv + r * recv_stride, reinterpret_cast<const uint8_t*>(slot(view, r, call)), begin, end);
  }
}

}  // namespace

void launch_peer_all_gather(const Launch& to, const PeerView& view, void* recv, size_t recv_stride, const void* send,
                            size_t bytes) {
  const auto blocks = std::min<int64_t>(divide_up(static_cast<int64_t>(bytes), kPeerThreads * kBytes), view.max_blocks);
  launch_kernel(to, peer_all_gather, static_cast<unsigned>(blocks), kPeerThreads, 0, view, static_cast<uint8_t*>(recv),
                static_cast<int64_t>(recv_stride), static_cast<const uint8_t*>(send), static_cast<int64_t>(bytes));
  check_launch("peer_all_gather");
}

}  // namespace lockstep::cuda
