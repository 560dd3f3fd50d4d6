// One-shot collectives over peer memory. Block b of every rank handles the same slice and waits only for block b of the others:
//   copy my slice into my slot; publish the epoch to every peer; wait for every peer's; read all slots.
//
// Two slots are enough: kernels of a rank follow each other on one stream, so a peer that has published epoch e + 1 has finished
// its whole kernel e. A kernel of epoch e + 2 runs after this rank's kernel e + 1, in which block 0 waited for all peers' e + 1;
// nobody therefore still reads the slot of epoch e that it overwrites. The epochs live on the device, so that the launches can be
// replayed from a CUDA graph. Where ranks share a device without MPS their kernels take turns by time slice; a kernel that spins
// delays the others, but never stops them.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/peer_all_reduce.h"

namespace lockstep::cuda {
namespace {

constexpr size_t kEpochsOffset = kPeerBlocks * kMaxPeers * sizeof(uint32_t);
static_assert(kEpochsOffset + kPeerBlocks * sizeof(uint32_t) <= kPeerSlotsOffset);
static_assert(kMaxPeers <= kPeerThreads);

__device__ __forceinline__ void store_release(uint32_t* p, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
}
__device__ __forceinline__ uint32_t load_acquire(const uint32_t* p) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
}

__device__ __forceinline__ uint32_t* flag(std::byte* region, int block, int rank) {
  return reinterpret_cast<uint32_t*>(region) + block * kMaxPeers + rank;
}
__device__ __forceinline__ uint32_t* own_epoch(const PeerView& view) {
  return reinterpret_cast<uint32_t*>(view.region[view.rank] + kEpochsOffset) + blockIdx.x;
}
__device__ __forceinline__ std::byte* slot(const PeerView& view, int rank, uint32_t epoch) {
  return view.region[rank] + kPeerSlotsOffset + (epoch & 1) * view.slot_bytes;
}

// For all threads of the block. Afterwards, what block b of every peer wrote before its own exchange() of this epoch is visible
// to this block. False when the host has told us to give up.
__device__ bool exchange(const PeerView& view, uint32_t epoch) {
  const int peer = static_cast<int>(threadIdx.x);
  bool arrived = true;
  __syncthreads();
  if (peer < view.size) {
    __threadfence_system();
    store_release(flag(view.region[peer], blockIdx.x, view.rank), epoch);
    const uint32_t* const theirs = flag(view.region[view.rank], blockIdx.x, peer);
    for (uint32_t spins = 1; static_cast<int32_t>(load_acquire(theirs) - epoch) < 0; ++spins) {
      if (spins % 1024 == 0 && *static_cast<const volatile uint32_t*>(view.abort) != 0) {
        *static_cast<volatile uint32_t*>(view.failed) = 1;
        arrived = false;
        break;
      }
    }
  }
  return __syncthreads_and(arrived) != 0;
}

// The block's slice of `count` elements: whole units of N, at least one a thread where there are as many.
struct Slice {
  int64_t begin, end;
};
template <int N>
__device__ Slice own_slice(int64_t count) {
  const int64_t units = (count + N - 1) / N;
  int64_t per_block = (units + gridDim.x - 1) / gridDim.x;
  if (per_block < kPeerThreads) per_block = kPeerThreads;
  const int64_t begin = blockIdx.x * per_block * N;
  const int64_t end = begin + per_block * N;
  return {begin < count ? begin : count, end < count ? end : count};
}

template <int N, typename T>
__device__ __forceinline__ Vec<T, N> load_any_alignment(const T* p, bool aligned) {
  if (aligned) return load_vec<N>(p);
  Vec<T, N> v;
#pragma unroll
  for (int j = 0; j < N; ++j) v.v[j] = p[j];
  return v;
}
template <int N, typename T>
__device__ __forceinline__ void store_any_alignment(T* p, const Vec<T, N>& v, bool aligned) {
  if (aligned) return store_vec<N>(p, v);
#pragma unroll
  for (int j = 0; j < N; ++j) p[j] = v.v[j];
}
__device__ __forceinline__ bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// The first element of this thread and the distance to its next, in units of N; then the elements after the last whole unit.
template <int N, typename T>
__device__ void copy_to_slot(T* slot, const T* x, Slice s) {
  const bool aligned = is_aligned(x);
  const int64_t whole = s.begin + (s.end - s.begin) / N * N;
  for (int64_t i = s.begin + threadIdx.x * N; i < whole; i += kPeerThreads * N) {
    store_vec<N>(slot + i, load_any_alignment<N>(x + i, aligned));
  }
  for (int64_t i = whole + threadIdx.x; i < s.end; i += kPeerThreads) slot[i] = x[i];
}

template <int N, typename T>
__device__ void sum_slots(T* x, const PeerView& view, uint32_t epoch, int64_t i, bool aligned) {
  float sum[N];
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] = 0.0f;
#pragma unroll 4
  for (int r = 0; r < view.size; ++r) {
    const Vec<T, N> v = load_vec<N>(reinterpret_cast<const T*>(slot(view, r, epoch)) + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = r == 0 ? to_float(v.v[j]) : sum[j] + to_float(v.v[j]);  // keeps -0.0
  }
  Vec<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] = from_float<T>(sum[j]);
  store_any_alignment<N>(x + i, out, aligned);
}

// Grid [view.blocks], block [kPeerThreads].
template <typename T>
__global__ void __launch_bounds__(kPeerThreads) peer_all_reduce(PeerView view, T* x, int64_t count) {
  constexpr int N = 16 / sizeof(T);
  const uint32_t epoch = *own_epoch(view) + 1;
  const Slice s = own_slice<N>(count);
  if (s.begin < s.end) {
    copy_to_slot<N>(reinterpret_cast<T*>(slot(view, view.rank, epoch)), x, s);
    if (!exchange(view, epoch)) return;
    const bool aligned = is_aligned(x);
    const int64_t whole = s.begin + (s.end - s.begin) / N * N;
    for (int64_t i = s.begin + threadIdx.x * N; i < whole; i += kPeerThreads * N) sum_slots<N>(x, view, epoch, i, aligned);
    for (int64_t i = whole + threadIdx.x; i < s.end; i += kPeerThreads) sum_slots<1>(x, view, epoch, i, true);
  }
  __syncthreads();
  if (threadIdx.x == 0) *own_epoch(view) = epoch;
}

__global__ void __launch_bounds__(kPeerThreads)
    peer_all_gather(PeerView view, uint8_t* recv, int64_t recv_stride, const uint8_t* send, int64_t bytes) {
  constexpr int N = 16;
  const uint32_t epoch = *own_epoch(view) + 1;
  const Slice s = own_slice<N>(bytes);
  if (s.begin < s.end) {
    copy_to_slot<N>(reinterpret_cast<uint8_t*>(slot(view, view.rank, epoch)), send, s);
    if (!exchange(view, epoch)) return;
    const int64_t whole = s.begin + (s.end - s.begin) / N * N;
    for (int r = 0; r < view.size; ++r) {
      const auto* const from = reinterpret_cast<const uint8_t*>(slot(view, r, epoch));
      uint8_t* const to = recv + r * recv_stride;
      const bool aligned = is_aligned(to);
      for (int64_t i = s.begin + threadIdx.x * N; i < whole; i += kPeerThreads * N) {
        store_any_alignment<N>(to + i, load_vec<N>(from + i), aligned);
      }
      for (int64_t i = whole + threadIdx.x; i < s.end; i += kPeerThreads) to[i] = from[i];
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) *own_epoch(view) = epoch;
}

}  // namespace

void launch_peer_all_reduce(cudaStream_t stream, const PeerView& view, void* x, DType dtype, int64_t count) {
  dispatch_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    peer_all_reduce<T><<<view.blocks, kPeerThreads, 0, stream>>>(view, static_cast<T*>(x), count);
  });
  check_launch("peer_all_reduce");
}

void launch_peer_all_gather(cudaStream_t stream, const PeerView& view, void* recv, size_t recv_stride, const void* send,
                            size_t bytes) {
  peer_all_gather<<<view.blocks, kPeerThreads, 0, stream>>>(view, static_cast<uint8_t*>(recv), static_cast<int64_t>(recv_stride),
                                                            static_cast<const uint8_t*>(send), static_cast<int64_t>(bytes));
  check_launch("peer_all_gather");
}

}  // namespace lockstep::cuda
