// Attention of sequences with one query token: split over the context (flash decoding; Dao, Haziza, Massa, Sizov 2023), then
// combined in a fixed order. In float32 arithmetic: for float32, and for what the tensor-core kernel does not take.
//
// A block takes one sequence, up to kHeads query heads of one KV head, and one split of the context. Groups of kLanes lanes take
// one token each: every lane holds the same few elements of the token's key and value, loaded once for all query heads, and of
// each head's accumulator. Each group keeps its own running softmax; they meet in shared memory at the end.
#include <algorithm>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;
using split_decode::kBlocksPerSm;
using split_decode::kMaxHeadDim;
using split_decode::kMaxHeads;
constexpr int kSplitUnit = 32;  // a split is a multiple of so many tokens
constexpr int kMinSplit = 64;   // tokens for which a block is worth its start
constexpr int kMaxSplits = 128;

// Tokens a split of a context of `context_len` tokens.
__device__ __forceinline__ int split_length(int context_len, int num_splits) {
  const int even = (context_len + num_splits - 1) / num_splits;
  return (even + kSplitUnit - 1) / kSplitUnit * kSplitUnit;
}

// The unnormalized result of each (sequence, query head, split), and its softmax's running maximum and sum.
struct Partials {
  float* out;     // [S, Hq, num_splits, D]
  float2* stats;  // [S, Hq, num_splits]
  int num_splits;
};

// kVec elements an access, kChunks accesses a lane and row: a row has up to kLanes * kVec * kChunks elements.
template <typename T, int kVec, int kLanes, int kChunks, int kHeads>
__global__ void __launch_bounds__(kThreads) decode_attention_kernel(AttentionParams p, Partials partials, int tiles_per_kv_head) {
  constexpr int kPerLane = kVec * kChunks;
  constexpr int kPlanes = kPerLane / 4;
  constexpr int kPaddedDim = kPerLane * kLanes;
  constexpr int kGroups = kThreads / kLanes;
  constexpr int kUnroll = 4;  // tokens in flight a group
  static_assert(kPerLane % 4 == 0 && kPaddedDim <= kMaxHeadDim && kHeads <= kMaxHeads);
  // Element e of lane l of head h is at [h][e / 4][l], component e % 4: consecutive lanes read consecutive 16 bytes.
  __shared__ float4 q_shared[kHeads][kPlanes][kLanes];
  __shared__ float4 out_shared[kGroups][kHeads][kPlanes][kLanes];
  __shared__ float2 stats_shared[kGroups][kHeads];

  start_next();
  wait_for_previous();
  const int seq = blockIdx.y;
  const bool all_single = p.max_query_len == 1;
  const int token = all_single ? seq : p.query_start[seq];
  if (!all_single && p.query_start[seq + 1] - token != 1) return;
  const int kv_head = blockIdx.x / tiles_per_kv_head;
  const QueryHeads heads(p, kv_head);
  const int first_head = heads.first + static_cast<int>(blockIdx.x % tiles_per_kv_head) * kHeads;
  const int num_heads = min(kHeads, heads.first + heads.count - first_head);
  if (num_heads <= 0) return;
  const int context_len = p.context_of(seq);
  const int length = split_length(context_len, partials.num_splits);
  const int begin = static_cast<int>(blockIdx.z) * length;
  const int end = min(context_len, begin + length);
  if (partials.num_splits > 1 && begin >= end) return;  // the combining kernel does not read this split

  const int sub = threadIdx.x % kLanes;
  const int group = threadIdx.x / kLanes;
  const int dim = p.head_dim;
  const KvPages pages(p, seq, kv_head);
  const T* k_data = static_cast<const T*>(p.k);
  const T* v_data = static_cast<const T*>(p.v);

  // The queries, scaled, padded with zeros in both directions.
  {
    const T* q = static_cast<const T*>(p.q) + token * p.q_stride + static_cast<int64_t>(first_head) * dim;
    float* q_flat = reinterpret_cast<float*>(q_shared);
    for (int i = threadIdx.x; i < kHeads * kPaddedDim; i += kThreads) {
      const int h = i / kPaddedDim;
      const int plane = i % kPaddedDim / (kLanes * 4);
      const int lane = i % (kLanes * 4) / 4;
      const int e = plane * 4 + i % 4;
      const int d = (e / kVec * kLanes + lane) * kVec + e % kVec;
      q_flat[i] = h < num_heads && d < dim ? to_float(q[h * dim + d]) * p.scale_log2 : 0.0f;
    }
  }
  __syncthreads();

  float max_score[kHeads], sum[kHeads];
  float acc[kHeads][kPerLane];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    max_score[h] = -INFINITY;
    sum[h] = 0.0f;
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) acc[h][e] = 0.0f;
  }

  // Every thread of the block makes the same number of rounds, so that whole warps meet in the shuffles.
  for (int base = begin; base < end; base += kGroups * kUnroll) {
    // Positions past the end repeat the last one and get no weight; lanes past head_dim repeat the first elements, against zeros
    // in q: so the loads need no conditions and are all in flight at once.
    int64_t row[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) row[u] = pages.offset(min(base + u * kGroups + group, end - 1));
    Vec<T, kVec> k[kUnroll][kChunks], v[kUnroll][kChunks];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        const int d = (c * kLanes + sub) * kVec;
        const int64_t from = row[u] + (d < dim ? d : 0);  // dim is a multiple of kVec
        k[u][c] = load_vec<kVec>(k_data + from);
        v[u][c] = load_vec<kVec>(v_data + from);
      }
    }
    float score[kUnroll][kHeads];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float s = 0.0f;
#pragma unroll
        for (int plane = 0; plane < kPlanes; ++plane) {
          const float4 q = q_shared[h][plane][sub];
          const int e = plane * 4;
          s += q.x * to_float(k[u][(e + 0) / kVec].v[(e + 0) % kVec]);
          s += q.y * to_float(k[u][(e + 1) / kVec].v[(e + 1) % kVec]);
          s += q.z * to_float(k[u][(e + 2) / kVec].v[(e + 2) % kVec]);
          s += q.w * to_float(k[u][(e + 3) / kVec].v[(e + 3) % kVec]);
        }
#pragma unroll
        for (int offset = kLanes / 2; offset > 0; offset /= 2) s += __shfl_xor_sync(kFullMask, s, offset);
        score[u][h] = base + u * kGroups + group < end ? s : -INFINITY;
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float new_max = max_score[h];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) new_max = fmaxf(new_max, score[u][h]);
      const float reference = new_max == -INFINITY ? 0.0f : new_max;  // no token yet: all weights are 0, not NaN
      const float correction = exp2f(max_score[h] - reference);
      max_score[h] = new_max;
      sum[h] *= correction;
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        score[u][h] = exp2f(score[u][h] - reference);
        sum[h] += score[u][h];
      }
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) {
        float a = acc[h][e] * correction;
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) a += score[u][h] * to_float(v[u][e / kVec].v[e % kVec]);
        acc[h][e] = a;
      }
    }
  }

#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (sub == 0) stats_shared[group][h] = make_float2(max_score[h], sum[h]);
#pragma unroll
    for (int plane = 0; plane < kPlanes; ++plane) {
      const int e = plane * 4;
      out_shared[group][h][plane][sub] = make_float4(acc[h][e], acc[h][e + 1], acc[h][e + 2], acc[h][e + 3]);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < num_heads * dim; i += kThreads) {
    const int h = i / dim;
    const int d = i % dim;
    const int lane = d / kVec % kLanes;
    const int e = d / (kVec * kLanes) * kVec + d % kVec;
    float top = -INFINITY;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) top = fmaxf(top, stats_shared[g][h].x);
    float total = 0.0f;
    float value = 0.0f;
    for (int g = 0; g < kGroups; ++g) {
      const float2 stats = stats_shared[g][h];
      const float weight = stats.x == -INFINITY ? 0.0f : exp2f(stats.x - top);
      total += stats.y * weight;
      value += reinterpret_cast<const float*>(&out_shared[g][h][e / 4][lane])[e % 4] * weight;
    }
    const int head = first_head + h;
    if (partials.num_splits == 1) {
      // An empty context (a padded sequence) gives zeros.
      static_cast<T*>(p.out)[token * p.out_stride + static_cast<int64_t>(head) * dim + d] =
          from_float<T>(end > begin ? value / total : 0.0f);
    } else {
      const int64_t place = (static_cast<int64_t>(seq) * p.q_heads + head) * partials.num_splits + blockIdx.z;
      partials.out[place * dim + d] = value;
      if (d == 0) partials.stats[place] = make_float2(top, total);
    }
  }
}

// out = the splits' results, weighted; one block a (query head, sequence).
template <typename T>
__global__ void __launch_bounds__(kThreads) combine_splits_kernel(AttentionParams p, Partials partials) {
  start_next();
  wait_for_previous();
  const int head = blockIdx.x;
  const int seq = blockIdx.y;
  const bool all_single = p.max_query_len == 1;
  const int token = all_single ? seq : p.query_start[seq];
  if (!all_single && p.query_start[seq + 1] - token != 1) return;
  const int context_len = p.context_of(seq);
  const int length = split_length(context_len, partials.num_splits);
  const int splits = length > 0 ? (context_len + length - 1) / length : 0;  // those that have tokens
  const int64_t place = (static_cast<int64_t>(seq) * p.q_heads + head) * partials.num_splits;
  float top = -INFINITY;
  for (int i = 0; i < splits; ++i) top = fmaxf(top, partials.stats[place + i].x);
  const float reference = top == -INFINITY ? 0.0f : top;
  for (int d = threadIdx.x; d < p.head_dim; d += kThreads) {
    float total = 0.0f;
    float value = 0.0f;
    for (int i = 0; i < splits; ++i) {
      const float2 stats = partials.stats[place + i];
      const float weight = exp2f(stats.x - reference);
      total += stats.y * weight;
      value += partials.out[(place + i) * p.head_dim + d] * weight;
    }
    static_cast<T*>(p.out)[token * p.out_stride + static_cast<int64_t>(head) * p.head_dim + d] =
        from_float<T>(splits > 0 ? value / total : 0.0f);
  }
}

template <typename T, int kVec, int kLanes, int kChunks, int kHeads>
void launch(const Launch& to, const AttentionParams& p) {
  const int tiles_per_kv_head = static_cast<int>(divide_up(p.max_heads_per_kv(), kHeads));
  const int64_t blocks = static_cast<int64_t>(p.kv_heads) * tiles_per_kv_head * p.num_seqs;
  int64_t splits = divide_up(static_cast<int64_t>(kBlocksPerSm) * to.sm_count, blocks);
  splits = splits < divide_up(p.max_context_len, kMinSplit) ? splits : divide_up(p.max_context_len, kMinSplit);
  splits = splits < 1 || to.batch_invariant ? 1 : splits > kMaxSplits ? kMaxSplits : splits;

  Partials partials = {};
  partials.num_splits = static_cast<int>(splits);
  partials.stats = static_cast<float2*>(to.scratch);
  partials.out = reinterpret_cast<float*>(partials.stats + static_cast<int64_t>(p.num_seqs) * p.q_heads * splits);
  const dim3 grid(static_cast<unsigned>(p.kv_heads * tiles_per_kv_head), static_cast<unsigned>(p.num_seqs),
                  static_cast<unsigned>(splits));
  launch_kernel(to, decode_attention_kernel<T, kVec, kLanes, kChunks, kHeads>, grid, dim3(kThreads), 0, p, partials,
                tiles_per_kv_head);
  if (splits > 1) {
    const dim3 combine_grid(static_cast<unsigned>(p.q_heads), static_cast<unsigned>(p.num_seqs));
    launch_kernel(to, combine_splits_kernel<T>, combine_grid, dim3(kThreads), 0, p, partials);
  }
}

template <typename T, int kVec, int kLanes, int kChunks>
void launch_for_heads(const Launch& to, const AttentionParams& p) {
  const int heads = p.max_heads_per_kv();
  if (heads == 1) {
    launch<T, kVec, kLanes, kChunks, 1>(to, p);
  } else if (heads <= 4) {
    launch<T, kVec, kLanes, kChunks, 4>(to, p);
  } else {
    launch<T, kVec, kLanes, kChunks, kMaxHeads>(to, p);
  }
}

template <typename T>
void launch_for_dim(const Launch& to, const AttentionParams& p) {
  constexpr int kVec = 16 / sizeof(T);
  if (p.head_dim % kVec != 0 || !aligned_to(p.k, 16) || !aligned_to(p.v, 16)) {
    launch_for_heads<T, 2, 32, 4>(to, p);
  } else if constexpr (sizeof(T) == 2) {
    if (p.head_dim <= 64) {
      launch_for_heads<T, kVec, 8, 1>(to, p);
    } else if (p.head_dim <= 128) {
      launch_for_heads<T, kVec, 16, 1>(to, p);
    } else {
      launch_for_heads<T, kVec, 32, 1>(to, p);
    }
  } else {
    if (p.head_dim <= 64) {
      launch_for_heads<T, kVec, 16, 1>(to, p);
    } else if (p.head_dim <= 128) {
      launch_for_heads<T, kVec, 32, 1>(to, p);
    } else {
      launch_for_heads<T, kVec, 32, 2>(to, p);
    }
  }
}

}  // namespace

bool decode_attention_supports(const AttentionParams& p) {
  // head_dim is even, so that pairs of elements are aligned where the cache is.
  const size_t pair_bytes = 2 * size_of(p.dtype);
  return p.head_dim <= kMaxHeadDim && aligned_to(p.k, pair_bytes) && aligned_to(p.v, pair_bytes) && p.num_seqs <= 65535;
}

void launch_decode_attention(const Launch& to, const AttentionParams& p) {
  dispatch_float(p.dtype, [&](auto tag) { launch_for_dim<typename decltype(tag)::type>(to, p); });
  check_launch("attention (decode)");
}

}  // namespace lockstep::cuda
