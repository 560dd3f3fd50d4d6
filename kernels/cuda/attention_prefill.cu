// Causal attention over the paged context on the tensor cores, after FlashAttention-2 (Dao 2023): for sequences with many query
// tokens, bfloat16 and float16, head_dim a multiple of 16 up to 256.
//
// A block takes 64 rows of one KV head of one sequence (see AttentionParams: the query heads of a group lie side by side, so that
// they share what is loaded) and walks the keys in tiles. Each of its 4 warps owns 16 rows. Keys and values come by asynchronous
// copies: the values of a tile while its scores are computed, the keys of the next while the values are used.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = 64;
constexpr int kRowsPerWarp = 16;
constexpr int kMaxHeadDim = 256;

// kDim: head_dim rounded up to a size that is compiled.
template <typename T, int kDim>
struct Tiles {
  static constexpr int kKeys = kDim <= 128 ? 64 : 32;
  // 16 bytes of padding a row: the 8 rows of an ldmatrix then lie in different banks.
  static constexpr int kPitch = kDim + 8;
  T q[kRows][kPitch];
  T k[kKeys][kPitch];
  T v[kKeys][kPitch];
  int64_t row[2][kKeys];  // where the rows of this tile and the next begin in the cache; -1: past the end
};

template <typename T, int kDim>
__device__ __forceinline__ void find_rows(Tiles<T, kDim>& tiles, int tile, int end, const KvPages& pages) {
  constexpr int kKeys = Tiles<T, kDim>::kKeys;
  if (threadIdx.x < kKeys) {
    const int position = tile * kKeys + static_cast<int>(threadIdx.x);
    tiles.row[tile % 2][threadIdx.x] = position < end ? pages.offset(position) : -1;
  }
}

// Rows past the end and columns past head_dim become zeros.
template <int kKeys, int kDim, typename T>
__device__ __forceinline__ void copy_rows(T (*to)[kDim + 8], const T* data, const int64_t* rows, int head_dim) {
  constexpr int kPieces = kDim / 8;
  for (int i = threadIdx.x; i < kKeys * kPieces; i += kThreads) {
    const int r = i / kPieces;
    const int d = i % kPieces * 8;
    const int64_t row = rows[r];
    const bool valid = row >= 0 && d < head_dim;
    copy_async_16(&to[r][d], valid ? data + row + d : data, valid);
  }
  copy_async_commit();
}

// Grid: tiles of rows, KV heads, sequences.
template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads) prefill_attention_kernel(AttentionParams p, bool skip_single) {
  using Shared = Tiles<T, kDim>;
  constexpr int kKeys = Shared::kKeys;
  constexpr int kDepthSteps = kDim / 16;  // of q·k
  constexpr bool kQueriesInRegisters = kDim <= 128;
  extern __shared__ uint4 prefill_shared[];
  Shared& tiles = *reinterpret_cast<Shared*>(prefill_shared);
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
  const int g = lane / 4;  // row within 8 and column pair of this lane's accumulators
  const int q4 = lane % 4;
  const int head_dim = p.head_dim;
  const int first_position = p.context_len[seq] - query_len;
  const int end = first_position + (min(row0 + kRows, rows) - 1) / heads.count + 1;  // keys that the block's last row sees
  const int num_tiles = (end + kKeys - 1) / kKeys;
  const KvPages pages(p, seq, blockIdx.y);
  const T* k_data = static_cast<const T*>(p.k);
  const T* v_data = static_cast<const T*>(p.v);

  for (int i = threadIdx.x; i < kRows * (kDim / 8); i += kThreads) {
    const int r = i / (kDim / 8);
    const int d = i % (kDim / 8) * 8;
    const int row = row0 + r;
    const bool valid = row < rows && d < head_dim;
    const T* from = static_cast<const T*>(p.q);
    if (valid) {
      from +=
          (first_token + row / heads.count) * p.q_stride + static_cast<int64_t>(heads.first + row % heads.count) * head_dim + d;
    }
    copy_async_16(&tiles.q[r][d], from, valid);
  }
  find_rows(tiles, 0, end, pages);
  __syncthreads();
  copy_rows<kKeys, kDim>(tiles.k, k_data, tiles.row[0], head_dim);

  // The last key that this lane's two rows see.
  const int warp_row = row0 + warp * kRowsPerWarp;
  const int position[2] = {first_position + min(warp_row + g, rows - 1) / heads.count,
                           first_position + min(warp_row + g + 8, rows - 1) / heads.count};
  const int first_row_position = first_position + min(warp_row, rows - 1) / heads.count;

  uint32_t q_fragments[kQueriesInRegisters ? kDepthSteps : 1][4];
  float acc[kDim / 8][4] = {};
  float max_score[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};  // of this lane's columns; the four lanes of a row meet at the end

  for (int tile = 0; tile < num_tiles; ++tile) {
    copy_async_wait_all();
    __syncthreads();  // the keys are there, and the values of the tile before have been used
    copy_rows<kKeys, kDim>(tiles.v, v_data, tiles.row[tile % 2], head_dim);
    if constexpr (kQueriesInRegisters) {
      if (tile == 0) {
#pragma unroll
        for (int s = 0; s < kDepthSteps; ++s) {
          load_matrices(q_fragments[s], &tiles.q[warp * kRowsPerWarp + lane % 16][s * 16 + lane / 16 * 8]);
        }
      }
    }

    float score[kKeys / 8][4] = {};
#pragma unroll
    for (int s = 0; s < kDepthSteps; ++s) {
      uint32_t(&q)[4] = q_fragments[kQueriesInRegisters ? s : 0];
      if constexpr (!kQueriesInRegisters) {
        load_matrices(q, &tiles.q[warp * kRowsPerWarp + lane % 16][s * 16 + lane / 16 * 8]);
      }
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t k[4];  // b0, b1 of keys 16 n .. + 7, then of keys 16 n + 8 .. + 15
        load_matrices(k, &tiles.k[n * 16 + lane / 16 * 8 + lane % 8][s * 16 + lane / 8 % 2 * 8]);
        mma_16x8x16<T>(score[2 * n], q[0], q[1], q[2], q[3], k[0], k[1]);
        mma_16x8x16<T>(score[2 * n + 1], q[0], q[1], q[2], q[3], k[2], k[3]);
      }
    }
    find_rows(tiles, tile + 1, end, pages);
    copy_async_wait_all();
    __syncthreads();  // the values are there, the keys have been used, the next tile's rows are known
    if (tile + 1 < num_tiles) copy_rows<kKeys, kDim>(tiles.k, k_data, tiles.row[(tile + 1) % 2], head_dim);

    const int first_key = tile * kKeys;
    if (first_key + kKeys - 1 > first_row_position) {
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (first_key + n * 8 + q4 * 2 + j % 2 > position[j / 2]) score[n][j] = -INFINITY;
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = -INFINITY;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) top = fmaxf(top, fmaxf(score[n][2 * half], score[n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(kFullMask, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kFullMask, top, 2));
      const float new_max = fmaxf(max_score[half], top * p.scale_log2);  // finite: every row sees the first key
      const float correction = exp2f(max_score[half] - new_max);
      max_score[half] = new_max;
      sum[half] *= correction;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          score[n][j] = exp2f(score[n][j] * p.scale_log2 - new_max);
          sum[half] += score[n][j];
        }
      }
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        acc[n][2 * half] *= correction;
        acc[n][2 * half + 1] *= correction;
      }
    }
    // The accumulators of the scores have the layout of an A operand.
#pragma unroll
    for (int s = 0; s < kKeys / 16; ++s) {
      const uint32_t a0 = pack(score[2 * s][0], score[2 * s][1], T());
      const uint32_t a1 = pack(score[2 * s][2], score[2 * s][3], T());
      const uint32_t a2 = pack(score[2 * s + 1][0], score[2 * s + 1][1], T());
      const uint32_t a3 = pack(score[2 * s + 1][2], score[2 * s + 1][3], T());
#pragma unroll
      for (int n = 0; n < kDim / 16; ++n) {
        uint32_t v[4];
        load_matrices_transposed(v, &tiles.v[s * 16 + lane % 16][n * 16 + lane / 16 * 8]);
        mma_16x8x16<T>(acc[2 * n], a0, a1, a2, a3, v[0], v[1]);
        mma_16x8x16<T>(acc[2 * n + 1], a0, a1, a2, a3, v[2], v[3]);
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = sum[half];
    total += __shfl_xor_sync(kFullMask, total, 1);
    total += __shfl_xor_sync(kFullMask, total, 2);
    const int row = warp_row + g + 8 * half;
    if (row >= rows) continue;
    T* out = static_cast<T*>(p.out) + (first_token + row / heads.count) * p.out_stride +
             static_cast<int64_t>(heads.first + row % heads.count) * head_dim;
    const float inverse = 1.0f / total;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      const int d = n * 8 + q4 * 2;
      if (d < head_dim)
        *reinterpret_cast<uint32_t*>(out + d) = pack(acc[n][2 * half] * inverse, acc[n][2 * half + 1] * inverse, T());
    }
  }
}

template <typename T, int kDim>
void launch(const Launch& to, const AttentionParams& p, bool skip_single) {
  constexpr int kBytes = static_cast<int>(sizeof(Tiles<T, kDim>));
  static const cudaError_t raised =
      cudaFuncSetAttribute(prefill_attention_kernel<T, kDim>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  check_cuda(raised, "attention (prefill): shared memory");
  const int64_t rows = static_cast<int64_t>(p.max_query_len) * p.max_heads_per_kv();
  const dim3 grid(static_cast<unsigned>(divide_up(rows, kRows)), static_cast<unsigned>(p.kv_heads),
                  static_cast<unsigned>(p.num_seqs));
  launch_kernel(to, prefill_attention_kernel<T, kDim>, grid, dim3(kThreads), kBytes, p, skip_single);
}

template <typename T>
void launch_for_dim(const Launch& to, const AttentionParams& p, bool skip_single) {
  if (p.head_dim <= 32) {
    launch<T, 32>(to, p, skip_single);
  } else if (p.head_dim <= 64) {
    launch<T, 64>(to, p, skip_single);
  } else if (p.head_dim <= 96) {
    launch<T, 96>(to, p, skip_single);
  } else if (p.head_dim <= 128) {
    launch<T, 128>(to, p, skip_single);
  } else if (p.head_dim <= 192) {
    launch<T, 192>(to, p, skip_single);
  } else {
    launch<T, 256>(to, p, skip_single);
  }
}

}  // namespace

bool prefill_attention_supports(const AttentionParams& p) {
  return size_of(p.dtype) == 2 && p.head_dim % 16 == 0 && p.head_dim <= kMaxHeadDim && aligned_to(p.q, 16) &&
         p.q_stride % 8 == 0 && aligned_to(p.k, 16) && aligned_to(p.v, 16) && aligned_to(p.out, 4) && p.out_stride % 2 == 0;
}

void launch_prefill_attention(const Launch& to, const AttentionParams& p, bool skip_single) {
  if (p.dtype == DType::kBFloat16) {
    launch_for_dim<bf16>(to, p, skip_single);
  } else {
    launch_for_dim<f16>(to, p, skip_single);
  }
  check_launch("attention (prefill)");
}

}  // namespace lockstep::cuda
