// AllReduce of large messages in memory that all ranks see: when all have come, rank r reads its part of x on every rank, and
// writes the sum to every rank; when all have done so, it is complete. Each byte of x crosses a link twice, and memory as often.
// A norm after it is made where the row is summed, so that its work, too, is shared out.
// The two halves by themselves, reduce-scatter and all-gather, leave room for a sum over hosts between them.
#include <algorithm>

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/peer_collectives.h"
#include "kernels/cuda/peer_norm.cuh"
#include "kernels/cuda/peer_sync.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kAtATime = 4;  // peers whose vectors are read together
constexpr int kUnroll = 2;   // vectors that a thread works at

// Those whose memory is read or written: all ranks, or this one alone.
struct Group {
  int rank, size;
};

// sum[u] = of vector at[u] over the group, in its order; those past `end` are left alone.
template <typename T, int N>
__device__ __forceinline__ void read_sum(Vec<float, N> (&sum)[kUnroll], const Group& group, const PeerPointers& x, int64_t first,
                                         int64_t step, int64_t end) {
  for (int base = 0; base < group.size; base += kAtATime) {
    Vec<T, N> v[kAtATime][kUnroll];
#pragma unroll
    for (int j = 0; j < kAtATime; ++j) {
      if (base + j >= group.size) continue;
      const T* const from = reinterpret_cast<const T*>(x.of[base + j]);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (first + u * step < end) v[j][u] = load_vec<N>(from + (first + u * step) * N);
      }
    }
#pragma unroll
    for (int j = 0; j < kAtATime; ++j) {
      if (base + j >= group.size) continue;
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
        for (int e = 0; e < N; ++e) {
          sum[u].v[e] = base + j == 0 ? to_float(v[j][u].v[e]) : sum[u].v[e] + to_float(v[j][u].v[e]);  // keeps -0.0
        }
      }
    }
  }
}

// To rank r + 1 first, and so on: not all to the same one.
template <typename T, int N>
__device__ __forceinline__ void write_all(const Group& group, const PeerPointers& to, int64_t i, const Vec<float, N>& values) {
  Vec<T, N> v;
#pragma unroll
  for (int e = 0; e < N; ++e) v.v[e] = from_float<T>(values.v[e]);
  for (int j = 1; j <= group.size; ++j) {
    const int r = group.rank + j < group.size ? group.rank + j : group.rank + j - group.size;
    store_vec<N>(reinterpret_cast<T*>(to.of[r]) + i * N, v);
  }
}

// This rank's part of x, as peer_part_begin() has it: summed over the group `from`, and given to the group `to`. Grid: up to
// view.max_blocks.
template <typename T>
__device__ __forceinline__ void work_on_part(const Group& all, const Group& from, const PeerPointers& x, const Group& to,
                                             const PeerPointers& x_to, int64_t count) {
  constexpr int N = kVectorSize<T>;
  const int64_t vectors = count / N;
  const int64_t end = vectors * (all.rank + 1) / all.size;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kPeerThreads;
  for (int64_t i = vectors * all.rank / all.size + blockIdx.x * kPeerThreads + threadIdx.x; i < end; i += kUnroll * step) {
    Vec<float, N> sum[kUnroll];
    read_sum<T>(sum, from, x, i, step, end);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (i + u * step < end) write_all<T>(to, x_to, i + u * step, sum[u]);
    }
  }
  if (all.rank == all.size - 1 && blockIdx.x == 0 && vectors * N + threadIdx.x < count) {  // what does not fill a vector
    const int64_t i = vectors * N + threadIdx.x;
    float sum = 0.0f;
    for (int r = 0; r < from.size; ++r) {
      const float value = to_float(reinterpret_cast<const T*>(x.of[r])[i]);
      sum = r == 0 ? value : sum + value;
    }
    for (int r = 0; r < to.size; ++r) reinterpret_cast<T*>(x_to.of[r])[i] = from_float<T>(sum);
  }
}

template <typename T, TwoShotPart kPart>
__global__ void __launch_bounds__(kPeerThreads) two_shot_all_reduce(PeerView view, PeerPointers x, int64_t count) {
  if (!view.shares_device) start_next();
  wait_for_previous();
  const uint64_t call = this_peer_call(view);
  if (!meet_peers(view, kPeerStartedOffset, call)) return;
  if (threadIdx.x == 0) end_peer_call(view, call);
  const Group all{view.rank, view.size}, alone{0, 1};
  PeerPointers own;
  own.of[0] = x.of[view.rank];
  if constexpr (kPart == TwoShotPart::kReduceScatter) {
    // Peers may still read the rest of x when this ends. What writes it next is the all-gather, which begins with a meeting.
    work_on_part<T>(all, all, x, alone, own, count);
  } else {
    if constexpr (kPart == TwoShotPart::kAllGather) {
      work_on_part<T>(all, alone, own, all, x, count);
    } else {
      work_on_part<T>(all, all, x, all, x, count);
    }
    meet_peers(view, kPeerFinishedOffset, call);
  }
}

// A row at a time in each block.
template <typename T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    two_shot_norm(PeerView view, PeerPointers x_of, int64_t rows, SumNorm norm, PeerPointers out_of) {
  constexpr int N = kVectorSize<T>;
  __shared__ float shared[32];
  const int64_t vectors = norm.residual.cols / N;
  if (!view.shares_device) start_next();
  const RowSlice<T> weight = load_norm_weight<T>(norm);
  wait_for_previous();
  const uint64_t call = this_peer_call(view);
  if (!meet_peers(view, kPeerStartedOffset, call)) return;
  if (threadIdx.x == 0) end_peer_call(view, call);
  const Group all{view.rank, view.size};
  const int64_t end = rows * (view.rank + 1) / view.size;
  for (int64_t t = rows * view.rank / view.size + blockIdx.x; t < end; t += gridDim.x) {
    const auto sum_of = [&](RowSlice<T>& sum) {
      read_sum<T>(sum.v, all, x_of, t * vectors + threadIdx.x, blockDim.x, (t + 1) * vectors);
      return true;
    };
    const auto store = [&](int column, const Vec<float, N>& values) {
      write_all<T>(all, out_of, t * vectors + column / N, values);
    };
    add_norm_row<T>(norm, t, weight, shared, sum_of, store);
  }
  meet_peers(view, kPeerFinishedOffset, call);
}

}  // namespace

void launch_two_shot_all_reduce(const Launch& to, const PeerView& view, const PeerPointers& x, DType dtype, int64_t count,
                                TwoShotPart part) {
  dispatch_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* const kernel = part == TwoShotPart::kReduceScatter ? two_shot_all_reduce<T, TwoShotPart::kReduceScatter>
                         : part == TwoShotPart::kAllGather   ? two_shot_all_reduce<T, TwoShotPart::kAllGather>
                                                             : two_shot_all_reduce<T, TwoShotPart::kBoth>;
    const int64_t vectors = divide_up(divide_up(count, 16 / static_cast<int64_t>(sizeof(T))), view.size);
    const auto blocks = std::min<int64_t>(divide_up(vectors, kPeerThreads), view.max_blocks);
    launch_kernel(to, kernel, static_cast<unsigned>(blocks), kPeerThreads, 0, view, x, count);
  });
  check_launch("two_shot_all_reduce");
}

void launch_two_shot_norm(const Launch& to, const PeerView& view, TensorView x, const PeerPointers& x_of, const SumNorm& norm,
                          const PeerPointers& out_of) {
  dispatch_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto blocks = static_cast<unsigned>(std::min<int64_t>(divide_up(x.rows, view.size), view.max_blocks));
    const unsigned threads = row_threads(row_vectors(x));
    auto* const kernel = threads <= kMaxRowThreads / 2 ? two_shot_norm<T, kMaxRowThreads / 2> : two_shot_norm<T, kMaxRowThreads>;
    launch_kernel(to, kernel, blocks, threads, 0, view, x_of, x.rows, norm, out_of);
  });
  check_launch("two_shot_norm");
}

}  // namespace lockstep::cuda
