// Collectives through the peers' device memory: the kernels behind comm's PeerCommunicator.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/cuda/workspace.h"

namespace lockstep::cuda {

inline constexpr int kPeerBlocks = 16;  // thread blocks of one collective, at most
inline constexpr int kPeerThreads = 512;

// One rank's view. Every rank has a region in its device memory, zeroed at the start, that all ranks have mapped:
//   flags  uint32 [kPeerBlocks, kMaxPeers]: the epoch that block b of rank r has reached, written by rank r
//   epochs uint32 [kPeerBlocks]: of the rank's own blocks
//   two slots of slot_bytes for data, used in turns
struct PeerView {
  std::byte* region[kMaxPeers] = {};  // by rank, this rank's own included
  int rank = 0;
  int size = 1;
  int blocks = 1;                   // the same on every rank, so few that the blocks of all ranks that share a device run at once
  size_t slot_bytes = 0;            // a multiple of 16
  const uint32_t* abort = nullptr;  // host memory: nonzero tells kernels that wait to give up
  uint32_t* failed = nullptr;       // host memory: set by a kernel that gave up; its output is then undefined
};

// x[i] = sum over ranks of x[i], added in float32 in rank order, the same bits on every rank. x may have any alignment, another
// on every rank. count * size_of(dtype) <= slot_bytes, the same on every rank.
void launch_peer_all_reduce(cudaStream_t stream, const PeerView& view, void* x, DType dtype, int64_t count);

// recv[r * recv_stride + i] = rank r's send[i], i < bytes <= slot_bytes. Any alignment.
void launch_peer_all_gather(cudaStream_t stream, const PeerView& view, void* recv, size_t recv_stride, const void* send,
                            size_t bytes);

}  // namespace lockstep::cuda
