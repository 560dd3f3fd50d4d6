// The copy engine (TMA) and the barriers of sm_90, in the terms of the PTX manual.
//
// A barrier in shared memory counts arrivals and expected bytes; its phase flips when both are complete. A waiter names the
// parity of the phase that it waits for: 0 for the first, 1 for the second, and so on.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "kernels/cuda/mma.cuh"

namespace lockstep::cuda {

__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// After barrier_init(), before the barrier is used by others or by the copy engine.
__device__ __forceinline__ void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives once and makes the phase wait for `bytes` more from the copy engine.
__device__ __forceinline__ void barrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra again;\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// Where a ring of kStages buffers stands: which one is next, and in which phase of its barriers.
template <int kStages>
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// How long the L2 should keep what is read: weights pass once, activations are read by every block.
enum class L2Policy : uint64_t { kEvictFirst = 0x12f0000000000000ull, kEvictLast = 0x14f0000000000000ull };

// A box of a 2-D tensor, its first element at column x and row y; what lies outside the tensor becomes zeros. One thread calls.
__device__ __forceinline__ void tma_load(void* to, const CUtensorMap& map, uint64_t* barrier, int32_t x, int32_t y,
                                         L2Policy policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%3, %4}], [%2], "
      "%5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y), "l"(static_cast<uint64_t>(policy))
      : "memory");
}
__device__ __forceinline__ void tma_prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
// `bytes` (a multiple of 16) in a row; both addresses aligned to 16. One thread calls.
__device__ __forceinline__ void bulk_load(void* to, const void* from, uint64_t* barrier, uint32_t bytes, L2Policy policy) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %3, [%2], %4;" ::"r"(
                   shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(shared_address(barrier)), "r"(bytes), "l"(static_cast<uint64_t>(policy))
               : "memory");
}

// Makes shared memory written by ordinary stores visible to the copy engine and to wgmma; each writer calls it, then a barrier.
__device__ __forceinline__ void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A barrier of `threads` threads of the block (whole warps); 0 is __syncthreads().
__device__ __forceinline__ void named_barrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Gives registers of this warpgroup to the others, or takes them. The kernel needs __launch_bounds__(threads, 1).
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace lockstep::cuda
