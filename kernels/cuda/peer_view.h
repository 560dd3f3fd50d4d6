// What one rank sees of the memory that the ranks of a host share for their collectives (peer_*.cu). The host side of it is
// comm's PeerCommunicator.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/peer_layout.h"

namespace lockstep::cuda {

inline constexpr int kPeerThreads = 512;  // of a block of the collectives that are not fused with a norm

// A place that has the same offset in memory of the same purpose on every rank, by rank, as this rank has it mapped.
struct PeerPointers {
  std::byte* of[kMaxPeers] = {};
};

// Where rank r's part of `count` elements begins: at vectors of `vector` elements; what fills none is the last rank's.
constexpr int64_t peer_part_begin(int64_t count, int64_t vector, int rank, int size) {
  return rank == size ? count : count / vector * rank / size * vector;
}

// The region of a rank, in its device memory, mapped by all:
//   header    uint64: collectives done; then blocks that have read that number, of the present one
//   started   uint64 [kPeerBlocks, kMaxPeers]: number of the last collective that block b of rank r has begun, written by rank r
//   finished  likewise: whose reads and writes of peers' memory block b of rank r has done
//   mailboxes 2 x [size, mailbox_bytes]: what rank r has sent; else every word is kNothing
//   slots     2 x slot_bytes: for gathering; peers may read one until the next collective has met
//   staging   slot_bytes: for sums of memory that peers do not see
struct PeerView {
  PeerPointers region;
  int rank = 0;
  int size = 1;
  int max_blocks = 1;  // of a grid: the same on every rank, so few that the blocks of all ranks that share a device run at once
  bool shares_device = false;       // with another rank: its kernels must find room while ours wait
  size_t mailbox_bytes = 0;         // a multiple of 16
  size_t slot_bytes = 0;            // a multiple of 16
  const uint32_t* abort = nullptr;  // host memory: nonzero tells kernels that wait to give up
  uint32_t* failed = nullptr;       // host memory: set by a kernel that gave up; its output is then undefined
};

}  // namespace lockstep::cuda
