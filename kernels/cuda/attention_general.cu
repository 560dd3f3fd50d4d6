// Causal attention over the paged context in float32 arithmetic: for float32, and for what the tensor-core kernel does not take.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

// ---- head_dim up to 256: tiles of 16 rows of queries and 32 keys ----

constexpr int kRowsPerWarp = 4;
constexpr int kRows = kWarps * kRowsPerWarp;
constexpr int kKeys = 32;  // one a lane

// A lane holds the elements lane + 32 j of the accumulators of its warp's rows, j < kPerLane: head_dim <= 32 * kPerLane.
template <int kPerLane>
struct Tile {
  static constexpr int kDim = 32 * kPerLane;
  float4 q[kDim][kRows / kRowsPerWarp];  // transposed: element d of the four rows of a warp side by side
  float kv[kKeys][kDim + 1];             // keys, then values
};

template <typename T, int kPerLane>
__device__ __forceinline__ void load_rows(float (&to)[kKeys][32 * kPerLane + 1], const T* data, const KvPages& pages, int first,
                                          int end) {
  const int lane = threadIdx.x % 32;
  for (int i = threadIdx.x / 32; i < kKeys; i += kWarps) {
    const int position = first + i;
    const int64_t row = position < end ? pages.offset(position) : -1;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const int d = lane + 32 * j;
      to[i][d] = row >= 0 && d < pages.head_dim ? to_float(data[row + d]) : 0.0f;
    }
  }
}

// Grid: tiles of rows (the rows of a KV head, see AttentionParams), KV heads, sequences.
template <typename T, int kPerLane>
__global__ void __launch_bounds__(kThreads) general_attention_kernel(AttentionParams p, bool skip_single) {
  extern __shared__ float4 shared[];
  Tile<kPerLane>& tile = *reinterpret_cast<Tile<kPerLane>*>(shared);
  start_next();
  wait_for_previous();
  const int seq = blockIdx.z;
  const int first_token = p.query_start[seq];
  const int query_len = p.query_start[seq + 1] - first_token;
  if (query_len <= 0 || (skip_single && query_len == 1)) return;
  const QueryHeads heads(p, blockIdx.y);
  if (heads.count <= 0) return;
  const int rows = query_len * heads.count;
  const int row0 = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // the longest contexts first
  if (row0 >= rows) return;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int dim = p.head_dim;
  const int first_position = p.context_len[seq] - query_len;
  const KvPages pages(p, seq, blockIdx.y);

  // q_shared as a flat array: [d][row].
  float* q_flat = reinterpret_cast<float*>(tile.q);
  for (int r = warp; r < kRows; r += kWarps) {
    const int row = row0 + r;
    const T* q = static_cast<const T*>(p.q) + (first_token + row / heads.count) * p.q_stride +
                 static_cast<int64_t>(heads.first + row % heads.count) * dim;
    for (int d = lane; d < dim; d += 32) q_flat[d * kRows + r] = row < rows ? to_float(q[d]) * p.scale_log2 : 0.0f;
  }

  int position[kRowsPerWarp];  // of each row's query token: the last key that it sees
  float max_score[kRowsPerWarp], sum[kRowsPerWarp];
  float acc[kRowsPerWarp][kPerLane] = {};
#pragma unroll
  for (int i = 0; i < kRowsPerWarp; ++i) {
    position[i] = first_position + min(row0 + warp * kRowsPerWarp + i, rows - 1) / heads.count;
    max_score[i] = -INFINITY;
    sum[i] = 0.0f;
  }
  const int end = first_position + (min(row0 + kRows, rows) - 1) / heads.count + 1;

  for (int first = 0; first < end; first += kKeys) {
    __syncthreads();  // the values of the tile before have been used; at first, nothing
    load_rows<T, kPerLane>(tile.kv, static_cast<const T*>(p.k), pages, first, end);
    __syncthreads();
    float score[kRowsPerWarp] = {};
    for (int d = 0; d < dim; ++d) {
      const float4 q = tile.q[d][warp];
      const float k = tile.kv[lane][d];
      score[0] += q.x * k;
      score[1] += q.y * k;
      score[2] += q.z * k;
      score[3] += q.w * k;
    }
    __syncthreads();
    load_rows<T, kPerLane>(tile.kv, static_cast<const T*>(p.v), pages, first, end);
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      if (first + lane > position[i]) score[i] = -INFINITY;
      const float new_max = fmaxf(max_score[i], warp_reduce(score[i], Max()));  // finite: every row sees the first key
      const float correction = exp2f(max_score[i] - new_max);
      max_score[i] = new_max;
      score[i] = exp2f(score[i] - new_max);
      sum[i] = sum[i] * correction + warp_reduce(score[i], Sum());
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) acc[i][j] *= correction;
    }
    __syncthreads();
    for (int key = 0; key < kKeys; ++key) {
      float weight[kRowsPerWarp];
#pragma unroll
      for (int i = 0; i < kRowsPerWarp; ++i) weight[i] = __shfl_sync(kFullMask, score[i], key);
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) {
        const float v = tile.kv[key][lane + 32 * j];
#pragma unroll
        for (int i = 0; i < kRowsPerWarp; ++i) acc[i][j] += weight[i] * v;
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kRowsPerWarp; ++i) {
    const int row = row0 + warp * kRowsPerWarp + i;
    if (row >= rows) continue;
    T* out = static_cast<T*>(p.out) + (first_token + row / heads.count) * p.out_stride +
             static_cast<int64_t>(heads.first + row % heads.count) * dim;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      if (lane + 32 * j < dim) out[lane + 32 * j] = from_float<T>(acc[i][j] / sum[i]);
    }
  }
}

template <typename T, int kPerLane>
void launch_tiled(const Launch& to, const AttentionParams& p, bool skip_single) {
  constexpr int kBytes = static_cast<int>(sizeof(Tile<kPerLane>));
  static const cudaError_t raised =
      cudaFuncSetAttribute(general_attention_kernel<T, kPerLane>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  check_cuda(raised, "attention: shared memory");
  const int64_t rows = static_cast<int64_t>(p.max_query_len) * p.max_heads_per_kv();
  const dim3 grid(static_cast<unsigned>(divide_up(rows, kRows)), static_cast<unsigned>(p.kv_heads),
                  static_cast<unsigned>(p.num_seqs));
  launch_kernel(to, general_attention_kernel<T, kPerLane>, grid, dim3(kThreads), kBytes, p, skip_single);
}

// ---- any head_dim: one block a (query token, query head) ----

constexpr int kWideKeys = 32;  // keys a round

// Dynamic shared memory: q [D], acc [D], scores [kWideKeys].
template <typename T>
__global__ void __launch_bounds__(kThreads) wide_attention_kernel(AttentionParams p, bool skip_single) {
  extern __shared__ float wide_shared[];
  start_next();
  wait_for_previous();
  const int dim = p.head_dim;
  float* q = wide_shared;
  float* acc = q + dim;
  float* scores = acc + dim;
  const int seq = blockIdx.z;
  const int head = blockIdx.y;
  const int first_token = p.query_start[seq];
  const int query_len = p.query_start[seq + 1] - first_token;
  const int t = blockIdx.x;
  if (t >= query_len || (skip_single && query_len == 1)) return;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int64_t token = first_token + t;
  const int end = p.context_len[seq] - query_len + t + 1;
  const KvPages pages(p, seq, (head + p.offset) / p.group);
  const T* k = static_cast<const T*>(p.k);
  const T* v = static_cast<const T*>(p.v);
  const T* query = static_cast<const T*>(p.q) + token * p.q_stride + static_cast<int64_t>(head) * dim;
  for (int d = threadIdx.x; d < dim; d += kThreads) {
    q[d] = to_float(query[d]) * p.scale_log2;
    acc[d] = 0.0f;
  }
  float max_score = -INFINITY;
  float sum = 0.0f;
  for (int first = 0; first < end; first += kWideKeys) {
    __syncthreads();  // q is there; the scores of the round before have been used
    for (int i = warp; i < kWideKeys; i += kWarps) {
      float s = 0.0f;
      if (first + i < end) {
        const int64_t row = pages.offset(first + i);
        for (int d = lane; d < dim; d += 32) s += q[d] * to_float(k[row + d]);
      }
      s = warp_reduce(s, Sum());
      if (lane == 0) scores[i] = first + i < end ? s : -INFINITY;
    }
    __syncthreads();
    const float new_max = fmaxf(max_score, warp_reduce(scores[lane], Max()));
    const float correction = exp2f(max_score - new_max);
    const float weight = exp2f(scores[lane] - new_max);  // of key `lane`; every warp has all of them
    max_score = new_max;
    sum = sum * correction + warp_reduce(weight, Sum());
    for (int d0 = warp * 32; d0 < dim; d0 += kThreads) {
      const int d = d0 + lane;
      float a = d < dim ? acc[d] * correction : 0.0f;
      for (int i = 0; i < kWideKeys && first + i < end; ++i) {
        const float w = __shfl_sync(kFullMask, weight, i);
        if (d < dim) a += w * to_float(v[pages.offset(first + i) + d]);
      }
      if (d < dim) acc[d] = a;
    }
  }
  T* out = static_cast<T*>(p.out) + token * p.out_stride + static_cast<int64_t>(head) * dim;
  // Each thread reads the elements that it has summed.
  for (int d = threadIdx.x; d < dim; d += kThreads) out[d] = from_float<T>(acc[d] / sum);
}

}  // namespace

void launch_general_attention(const Launch& to, const AttentionParams& p, bool skip_single) {
  dispatch_float(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (p.head_dim <= 64) {
      launch_tiled<T, 2>(to, p, skip_single);
    } else if (p.head_dim <= 128) {
      launch_tiled<T, 4>(to, p, skip_single);
    } else if (p.head_dim <= 256) {
      launch_tiled<T, 8>(to, p, skip_single);
    } else {
      const dim3 grid(static_cast<unsigned>(p.max_query_len), static_cast<unsigned>(p.q_heads),
                      static_cast<unsigned>(p.num_seqs));
      const size_t bytes = (2 * static_cast<size_t>(p.head_dim) + kWideKeys) * sizeof(float);
      launch_kernel(to, wide_attention_kernel<T>, grid, dim3(kThreads), bytes, p, skip_single);
    }
  });
  check_launch("attention");
}

}  // namespace lockstep::cuda
