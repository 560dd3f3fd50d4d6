// How much device memory PeerCommunicator takes. Plain C++, so that `lockstep plan` counts it on machines without CUDA, too.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/peer_layout.h"

namespace lockstep {

// CUDA maps IPC memory in units of 2 MiB: a region that fills them shares nothing else with the peers.
inline constexpr size_t kPeerGranule = size_t{2} << 20;

constexpr size_t round_up_to(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Of a slot. max_bytes: the largest collective.
constexpr size_t peer_slot_bytes(size_t max_bytes) {
  constexpr size_t kMinSlotBytes = size_t{256} << 10, kMaxSlotBytes = size_t{4} << 20;
  return round_up_to(std::clamp(max_bytes, kMinSlotBytes, kMaxSlotBytes), 256);
}

// Of the whole region of a rank.
constexpr size_t peer_memory_bytes(size_t max_bytes) {
  return round_up_to(cuda::peer_region_bytes(peer_slot_bytes(max_bytes)), kPeerGranule);
}

}  // namespace lockstep
