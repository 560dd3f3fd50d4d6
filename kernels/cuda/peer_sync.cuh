// How kernels of several ranks meet: numbered collectives, flags and mailboxes in each other's memory.
//
// Collectives of a rank follow each other on one stream, and each one hears from every peer before it ends. So while this rank
// runs number c, a peer is at c - 1 (then it has yet to end it, and has all it needs for that), c or c + 1. Two sets of mailboxes
// and slots in turns are therefore enough: what a peer sends for c + 2 finds those of c read and cleared, because the peer has
// heard our c + 1, and this kernel ran before that. The number lives on the device, so that launches can be replayed from a CUDA
// graph.
#pragma once

#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/peer_view.h"

namespace lockstep::cuda {

inline constexpr size_t kPeerStartedOffset = 64;
inline constexpr size_t kPeerFlagBytes = kPeerBlocks * kMaxPeers * sizeof(uint64_t);
inline constexpr size_t kPeerFinishedOffset = kPeerStartedOffset + kPeerFlagBytes;
static_assert(kPeerFinishedOffset + kPeerFlagBytes <= kPeerMailboxOffset);
static_assert(kMaxPeers <= kPeerThreads);

// A word that no sender sends: all ones, a NaN as float32 and in both halves as bfloat16 or float16. A sum that holds it arrives
// as another NaN.
inline constexpr uint32_t kNothing = 0xffffffffu;

__device__ __forceinline__ uint4 load_relaxed(const uint4* p) {
  uint4 v;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p)
               : "memory");
  return v;
}
__device__ __forceinline__ void store_relaxed(uint4* p, const uint4& v) {
  asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}
__device__ __forceinline__ void store_release(uint64_t* p, uint64_t value) {
  asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(p), "l"(value) : "memory");
}
__device__ __forceinline__ uint64_t load_acquire(const uint64_t* p) {
  uint64_t value;
  asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(p) : "memory");
  return value;
}

// True now and then when the host has told us to give up; the caller then leaves whatever it was waiting for.
__device__ __forceinline__ bool should_give_up(const PeerView& view, uint32_t spins) {
  if (spins % 1024 != 0 || *static_cast<const volatile uint32_t*>(view.abort) == 0) return false;
  *static_cast<volatile uint32_t*>(view.failed) = 1;
  return true;
}

// The number of this collective, for every thread, after wait_for_previous(). Every block must call end_peer_call() once it has
// it.
__device__ __forceinline__ uint64_t this_peer_call(const PeerView& view) {
  return *reinterpret_cast<const volatile uint64_t*>(view.region.of[view.rank]) + 1;
}
// By one thread of every block, after all of its threads have read the number: the last block moves it on. The next collective's
// kernel begins when this one has ended.
__device__ __forceinline__ void end_peer_call(const PeerView& view, uint64_t call) {
  auto* const done = reinterpret_cast<uint64_t*>(view.region.of[view.rank]);
  auto* const readers = reinterpret_cast<unsigned int*>(done + 1);
  if (gridDim.x > 1) {
    __threadfence();
    if (atomicAdd(readers, 1u) != gridDim.x - 1) return;
    *readers = 0;
  }
  *done = call;
}

__device__ __forceinline__ uint4* mailbox(const PeerView& view, uint64_t call, int to, int from) {
  const size_t offset = (call & 1) * kPeerMailboxSetBytes + static_cast<size_t>(from) * view.mailbox_bytes;
  return reinterpret_cast<uint4*>(view.region.of[to] + kPeerMailboxOffset + offset);
}
__device__ __forceinline__ std::byte* slot(const PeerView& view, int rank, uint64_t call) {
  return view.region.of[rank] + kPeerSlotsOffset + (call & 1) * view.slot_bytes;
}

__device__ __forceinline__ bool arrived(const uint4& v) {
  return v.x != kNothing && v.y != kNothing && v.z != kNothing && v.w != kNothing;
}
__device__ __forceinline__ uint4 sendable(uint4 v) {
  constexpr uint32_t kOtherNan = kNothing - 1;
  v.x = v.x == kNothing ? kOtherNan : v.x;
  v.y = v.y == kNothing ? kOtherNan : v.y;
  v.z = v.z == kNothing ? kOtherNan : v.z;
  v.w = v.w == kNothing ? kOtherNan : v.w;
  return v;
}

// The block tells block b of every peer that it has come this far, and waits until they have, too; what they wrote before is then
// visible to all threads here (release and acquire at system scope, which the barriers of the block extend to its threads).
// flags: kPeerStartedOffset or kPeerFinishedOffset. False when told to give up.
__device__ __forceinline__ bool meet_peers(const PeerView& view, size_t flags, uint64_t call) {
  const int peer = static_cast<int>(threadIdx.x);
  bool came = true;
  __syncthreads();
  if (peer < view.size && peer != view.rank) {
    const auto flag = [&](int at, int of) {
      return reinterpret_cast<uint64_t*>(view.region.of[at] + flags) + blockIdx.x * kMaxPeers + of;
    };
    store_release(flag(peer, view.rank), call);
    const uint64_t* const theirs = flag(view.rank, peer);
    for (uint32_t spins = 1; load_acquire(theirs) < call; ++spins) {
      if (should_give_up(view, spins)) {
        came = false;
        break;
      }
    }
  }
  return __syncthreads_and(came) != 0;
}

}  // namespace lockstep::cuda
