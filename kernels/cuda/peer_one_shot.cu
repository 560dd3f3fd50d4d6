// AllReduce of small messages in one hop: every rank writes its vectors into a mailbox on every peer, and the vectors are their
// own flags: a reader waits until none of the four words is kNothing any more, and puts kNothing back for the collective after
// next. (The idea is that of NCCL's LL protocol and of "Lamport" AllReduces elsewhere; a NaN that no sender sends, instead of
// -0.0 or a flag in every other word, keeps all values and the whole bandwidth.)
#include <algorithm>

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/peer_collectives.h"
#include "kernels/cuda/peer_norm.cuh"
#include "kernels/cuda/peer_sync.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kAtATime = 8;  // peers whose vectors are read together

template <typename T, int N>
__device__ __forceinline__ void accumulate(float (&sum)[N], const uint4& v, bool first) {
  Vec<T, N> t;
  memcpy(&t, &v, sizeof(v));
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] = first ? to_float(t.v[j]) : sum[j] + to_float(t.v[j]);  // keeps -0.0
}

__device__ __forceinline__ void send(const PeerView& view, uint64_t call, int64_t i, const uint4& v) {
  const uint4 sent = sendable(v);
  for (int peer = 0; peer < view.size; ++peer) {
    if (peer != view.rank) store_relaxed(mailbox(view, call, peer, view.rank) + i, sent);
  }
}

// sum = of vector i over all ranks, `own` being this rank's. False when told to give up.
template <typename T, int N>
__device__ __forceinline__ bool receive_sum(float (&sum)[N], const PeerView& view, uint64_t call, int64_t i, const uint4& own) {
  for (int base = 0; base < view.size; base += kAtATime) {
    uint4 v[kAtATime];
#pragma unroll
    for (int j = 0; j < kAtATime; ++j) {
      if (base + j < view.size) v[j] = base + j == view.rank ? own : load_relaxed(mailbox(view, call, view.rank, base + j) + i);
    }
#pragma unroll
    for (int j = 0; j < kAtATime; ++j) {
      if (base + j >= view.size) continue;
      if (base + j != view.rank) {
        uint4* const from = mailbox(view, call, view.rank, base + j) + i;
        for (uint32_t spins = 1; !arrived(v[j]); ++spins) {
          if (should_give_up(view, spins)) return false;
          v[j] = load_relaxed(from);
        }
        store_relaxed(from, make_uint4(kNothing, kNothing, kNothing, kNothing));
      }
      accumulate<T>(sum, v[j], base + j == 0);
    }
  }
  return true;
}

// Vector i of x, which has `count` elements at any address; zeros past its end.
template <typename T, int N>
__device__ __forceinline__ uint4 load_part(const T* x, int64_t i, int64_t count, bool aligned) {
  uint4 v = make_uint4(0, 0, 0, 0);
  if (aligned && (i + 1) * N <= count) {
    v = *reinterpret_cast<const uint4*>(x + i * N);
  } else {
    Vec<T, N> t;
    memset(&t, 0, sizeof(t));
    for (int j = 0; j < N; ++j) {
      if (i * N + j < count) t.v[j] = x[i * N + j];
    }
    memcpy(&v, &t, sizeof(v));
  }
  return v;
}

// Grid: up to view.max_blocks.
template <typename T>
__global__ void __launch_bounds__(kPeerThreads) one_shot_all_reduce(PeerView view, T* x, int64_t count) {
  constexpr int N = kVectorSize<T>;
  const int64_t vectors = (count + N - 1) / N;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kPeerThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kPeerThreads;
  const bool aligned = reinterpret_cast<uintptr_t>(x) % 16 == 0;
  if (!view.shares_device) start_next();
  wait_for_previous();
  const uint64_t call = this_peer_call(view);
  const uint4 own = first < vectors ? load_part<T, N>(x, first, count, aligned) : make_uint4(0, 0, 0, 0);
  if (first < vectors) send(view, call, first, own);
  for (int64_t i = first + step; i < vectors; i += step) send(view, call, i, load_part<T, N>(x, i, count, aligned));
  __syncthreads();
  if (threadIdx.x == 0) end_peer_call(view, call);
  for (int64_t i = first; i < vectors; i += step) {
    float sum[N];
    if (!receive_sum<T>(sum, view, call, i, i == first ? own : load_part<T, N>(x, i, count, aligned))) return;
    Vec<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] = from_float<T>(sum[j]);
    if (aligned && (i + 1) * N <= count) {
      store_vec<N>(x + i * N, out);
    } else {
      for (int j = 0; j < N; ++j) {
        if (i * N + j < count) x[i * N + j] = out.v[j];
      }
    }
  }
}

// A row at a time in each block of the grid.
template <typename T, int kThreads>
__global__ void __launch_bounds__(kThreads) one_shot_norm(PeerView view, TensorView x, SumNorm norm) {
  constexpr int N = kVectorSize<T>;
  __shared__ float shared[32];
  const int vectors = static_cast<int>(x.cols / N);
  // Vector k of this thread in row t, if there is one, in the mailbox.
  const auto index = [&](int64_t t, int k) { return t * vectors + static_cast<int>(k * blockDim.x + threadIdx.x); };
  const auto is_there = [&](int k) { return static_cast<int>(k * blockDim.x + threadIdx.x) < vectors; };
  const auto* const from = static_cast<const uint4*>(x.data);
  if (!view.shares_device) start_next();
  const RowSlice<T> weight = load_norm_weight<T>(norm);  // constants, here before the kernel before has ended
  wait_for_previous();
  const uint64_t call = this_peer_call(view);
  for (int64_t t = blockIdx.x; t < x.rows; t += gridDim.x) {
#pragma unroll
    for (int k = 0; k < kRowVectors; ++k) {
      if (is_there(k)) send(view, call, index(t, k), from[index(t, k)]);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) end_peer_call(view, call);
  for (int64_t t = blockIdx.x; t < x.rows; t += gridDim.x) {
    const auto sum_of = [&](RowSlice<T>& sum) {
      bool came = true;
#pragma unroll
      for (int k = 0; k < kRowVectors; ++k) {
        if (is_there(k)) came = came && receive_sum<T>(sum.v[k].v, view, call, index(t, k), from[index(t, k)]);
      }
      return came;
    };
    T* const out = static_cast<T*>(norm.out.data) + t * norm.out.stride;
    const auto store = [&](int column, const Vec<float, N>& values) {
      Vec<T, N> o;
#pragma unroll
      for (int j = 0; j < N; ++j) o.v[j] = from_float<T>(values.v[j]);
      store_vec(out + column, o);
    };
    if (!add_norm_row<T>(norm, t, weight, shared, sum_of, store)) return;
  }
}

}  // namespace

void launch_one_shot_all_reduce(const Launch& to, const PeerView& view, void* x, DType dtype, int64_t count) {
  dispatch_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t vectors = divide_up(count, 16 / static_cast<int64_t>(sizeof(T)));
    const auto blocks = std::min<int64_t>(divide_up(vectors, kPeerThreads), view.max_blocks);
    launch_kernel(to, one_shot_all_reduce<T>, static_cast<unsigned>(blocks), kPeerThreads, 0, view, static_cast<T*>(x), count);
  });
  check_launch("one_shot_all_reduce");
}

bool peer_norm_supports(const TensorView& x, const SumNorm& norm) { return row_supports(x, norm); }

void launch_one_shot_norm(const Launch& to, const PeerView& view, TensorView x, const SumNorm& norm) {
  dispatch_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto blocks = static_cast<unsigned>(std::min<int64_t>(x.rows, view.max_blocks));
    const unsigned threads = row_threads(row_vectors(x));
    auto* const kernel = threads <= kMaxRowThreads / 2 ? one_shot_norm<T, kMaxRowThreads / 2> : one_shot_norm<T, kMaxRowThreads>;
    launch_kernel(to, kernel, blocks, threads, 0, view, x, norm);
  });
  check_launch("one_shot_norm");
}

}  // namespace lockstep::cuda
