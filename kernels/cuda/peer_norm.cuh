// What both fused kernels (peer_one_shot.cu, peer_two_shot.cu) do with a row whose sum over ranks they have: + bias + residual,
// RMSNorm. In the same order on the same number of threads, so that a row has the same bits whichever of them a step takes.
#pragma once

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/peer_collectives.h"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {

inline constexpr int kRowVectors = 2;        // 16-byte vectors of a row that a thread has at most, blockDim.x apart
inline constexpr int kMaxRowThreads = 1024;  // half as many where they suffice, for their registers

// Elements of x in a vector.
template <typename T>
inline constexpr int kVectorSize = 16 / static_cast<int>(sizeof(T));

inline int64_t row_vectors(const TensorView& x) { return x.cols * static_cast<int64_t>(size_of(x.dtype)) / 16; }
inline unsigned row_threads(int64_t vectors) {
  const int64_t each = vectors <= kMaxRowThreads / 2 ? 1 : kRowVectors;
  return static_cast<unsigned>(divide_up(divide_up(vectors, each), 32) * 32);
}
inline bool row_supports(const TensorView& x, const SumNorm& norm) {
  const int64_t n = 16 / static_cast<int64_t>(size_of(x.dtype));
  return x.dtype == norm.out.dtype && x.contiguous() && norm.out.contiguous() && rows_aligned(x, n) &&
         rows_aligned(norm.out, n) && rows_aligned(norm.residual, n) && vector_aligned(norm.bias, n) &&
         vector_aligned(norm.weight, n) && row_vectors(x) <= kMaxRowThreads * kRowVectors;
}

template <typename T>
struct RowSlice {
  static constexpr int N = kVectorSize<T>;
  Vec<float, N> v[kRowVectors];
  // Column of vector k of this thread, in elements, and whether there is one.
  static __device__ __forceinline__ int column(int k) { return static_cast<int>(k * blockDim.x + threadIdx.x) * N; }
};

// Constants; may be read before the kernel before has ended.
template <typename T>
__device__ __forceinline__ RowSlice<T> load_norm_weight(const SumNorm& norm) {
  RowSlice<T> weight;
#pragma unroll
  for (int k = 0; k < kRowVectors; ++k) {
    if (RowSlice<T>::column(k) < norm.residual.cols) weight.v[k] = load_any<kVectorSize<T>>(norm.weight, RowSlice<T>::column(k));
  }
  return weight;
}

// For all threads of the block. sum_of(sum): this thread's part of row t's sum over ranks, or false to give up; store(column,
// values): its part of the row of norm.out. shared: 32 floats. False if any thread gave up.
template <typename T, typename SumOf, typename Store>
__device__ __forceinline__ bool add_norm_row(const SumNorm& norm, int64_t t, const RowSlice<T>& weight, float* shared,
                                             SumOf&& sum_of, Store&& store) {
  constexpr int N = kVectorSize<T>;
  float* const residual = static_cast<float*>(norm.residual.data) + t * norm.residual.stride;
  RowSlice<T> row, sum;
#pragma unroll
  for (int k = 0; k < kRowVectors; ++k) {
    if (row.column(k) < norm.residual.cols) row.v[k] = load_vec<N>(residual + row.column(k));
  }
  const bool came = sum_of(sum);
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < kRowVectors; ++k) {
    const int column = row.column(k);
    if (column >= norm.residual.cols) continue;
    Vec<float, N> bias = {};
    if (norm.bias.data) bias = load_any<N>(norm.bias, column);
#pragma unroll
    for (int j = 0; j < N; ++j) row.v[k].v[j] += sum.v[k].v[j] + bias.v[j];
    store_vec(residual + column, row.v[k]);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += row.v[k].v[j] * row.v[k].v[j];
  }
  if (!__syncthreads_and(came)) return false;
  squares = block_reduce(squares, 0.0f, shared, Sum());
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(norm.residual.cols) + norm.eps);
#pragma unroll
  for (int k = 0; k < kRowVectors; ++k) {
    const int column = row.column(k);
    if (column >= norm.residual.cols) continue;
#pragma unroll
    for (int j = 0; j < N; ++j) row.v[k].v[j] = row.v[k].v[j] * scale * weight.v[k].v[j];
    store(column, row.v[k]);
  }
  return true;
}

}  // namespace lockstep::cuda
