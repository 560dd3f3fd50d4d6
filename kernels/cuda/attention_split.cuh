// How attention of single tokens cuts contexts (flash decoding; Dao, Haziza, Massa, Sizov 2023), and how the results of the
// pieces are summed: always in the same order.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/mma.cuh"

namespace lockstep::cuda {

inline constexpr int kUnit = 64;  // keys; pieces of a context are multiples of it
inline constexpr int kMaxCluster = 8;
inline constexpr int kBatch = 8;  // results that a thread sums at a time

// How the contexts are cut: in pieces of about the length of all together divided by `target`, but at least min_units, each for a
// cluster of blocks, which share it.
struct Plan {
  int32_t min_units;
  int32_t target;
  int32_t tiles;      // blocks side by side for the query heads of a KV head
  int32_t cluster;    // blocks
  bool whole;         // no context is cut
  bool ahead;         // bring the first keys and values to the L2 early
  float* out;         // [pieces, heads of a block, kDim] unnormalized results
  float2* stats;      // [pieces, heads of a block, kDim / 4] their softmaxes' maximum and sum, for 4 elements each
  uint32_t* arrived;  // [S * Hkv * tiles * cluster]
};

// What a block does.
struct Piece {
  int seq, kv_tile;  // kv_tile: KV head * tiles + tile
  int index, count;  // of the pieces of its context
  int context_len;
};

__device__ __forceinline__ int units_of(int context_len) { return (context_len + kUnit - 1) / kUnit; }

// Every warp of the block finds the cluster's piece by itself. False: there is none.
__device__ __forceinline__ bool find_piece(const AttentionParams& p, const Plan& plan, Piece& piece) {
  const int per_seq = p.kv_heads * plan.tiles;
  const int cluster = static_cast<int>(blockIdx.x) / plan.cluster;
  const bool all_single = p.max_query_len == 1;
  if (plan.whole) {
    piece.seq = cluster / per_seq;
    piece.kv_tile = cluster % per_seq;
    piece.index = 0;
    piece.count = 1;
    piece.context_len = p.context_of(piece.seq);
    return all_single || p.query_start[piece.seq + 1] - p.query_start[piece.seq] == 1;
  }
  // The units of a sequence's context; -1: not ours.
  const auto units_at = [&](int s) {
    return all_single || p.query_start[s + 1] - p.query_start[s] == 1 ? units_of(p.context_of(s)) : -1;
  };
  int total = 0;
  for (int s = threadIdx.x % 32; s < p.num_seqs; s += 32) total += max(0, units_at(s));
  total = warp_reduce(total, Sum()) * per_seq;
  const int length = max(plan.min_units, (total + plan.target - 1) / plan.target);
  const auto pieces_at = [&](int s) {
    const int units = units_at(s);
    return units < 0 ? 0 : max(1, (units + length - 1) / length);
  };
  int place;
  const auto clusters_of = [&](int s) { return pieces_at(s) * per_seq; };
  if (!find_sequence(p.num_seqs, cluster, clusters_of, piece.seq, place)) return false;
  piece.count = pieces_at(piece.seq);
  piece.kv_tile = place / piece.count;
  piece.index = place % piece.count;
  piece.context_len = p.context_of(piece.seq);
  return true;
}

// All blocks of the cluster.
__device__ __forceinline__ void sync_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cluster_barrier();
#endif
}

// Sums unnormalized results, in their order.
struct Sum4 {
  float top = -INFINITY;
  float total = 0.0f;
  float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);

  // kCount results x with the maxima and sums of their softmaxes; those from `count` on do not exist.
  template <int kCount>
  __device__ __forceinline__ void add(const float4 (&x)[kCount], const float2 (&stats)[kCount], int count) {
    float new_top = top;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (i < count) new_top = fmaxf(new_top, stats[i].x);
    }
    if (new_top == -INFINITY) return;
    const float correction = exp2_approx(top - new_top);
    top = new_top;
    total *= correction;
    value = make_float4(value.x * correction, value.y * correction, value.z * correction, value.w * correction);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (i >= count) continue;
      const float weight = exp2_approx(stats[i].x - top);
      total += stats[i].y * weight;
      value.x += x[i].x * weight;
      value.y += x[i].y * weight;
      value.z += x[i].z * weight;
      value.w += x[i].w * weight;
    }
  }
  // An empty context (a padded sequence) gives zeros.
  template <typename T>
  __device__ __forceinline__ void store(T* to) const {
    const float inverse = top == -INFINITY ? 0.0f : 1.0f / total;
    const uint2 packed = {pack(value.x * inverse, value.y * inverse, T()), pack(value.z * inverse, value.w * inverse, T())};
    *reinterpret_cast<uint2*>(to) = packed;
  }
};

// The elements, in fours, that a block of a cluster sums: [begin, end) of the heads' elements in a row.
struct Share {
  int begin, end;
  __device__ Share(const Plan& plan, int rank, int quads)
      : begin(quads * rank / plan.cluster + static_cast<int>(threadIdx.x)), end(quads * (rank + 1) / plan.cluster) {}
};

// Sums what the blocks of a cluster have left at these places of their shared memory.
__device__ __forceinline__ Sum4 sum_cluster(const Plan& plan, const float* result, const float2* result_stats) {
  Sum4 sum;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  float4 x[kMaxCluster];
  float2 stats[kMaxCluster];
#pragma unroll
  for (int k = 0; k < kMaxCluster; ++k) {
    const auto rank = static_cast<uint32_t>(min(k, plan.cluster - 1));
    stats[k] = load_remote_2(remote_address(result_stats, rank));
    x[k] = load_remote_4(remote_address(result, rank));
  }
  sum.add(x, stats, plan.cluster);
#endif
  return sum;
}

// Sums the pieces of a context, which lie in memory.
template <int kDim, int kHeads>
__device__ __forceinline__ Sum4 sum_pieces(const Plan& plan, const Piece& piece, int first, int h, int d) {
  Sum4 sum;
  for (int j = 0; j < piece.count; j += kBatch) {
    float4 x[kBatch];
    float2 stats[kBatch];
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      const int64_t place = (static_cast<int64_t>(first + min(j + k, piece.count - 1)) * kHeads + h) * (kDim / 4) + d / 4;
      stats[k] = __ldcg(plan.stats + place);
      x[k] = __ldcg(reinterpret_cast<const float4*>(plan.out) + place);
    }
    sum.add(x, stats, piece.count - j);
  }
  return sum;
}

}  // namespace lockstep::cuda
