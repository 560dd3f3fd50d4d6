// QK-norm and rotary embedding of one head, and where its key or value goes in the cache.
#pragma once

#include <cstdint>

#include "kernels/cuda/convert.cuh"

namespace lockstep::cuda {

// Row of the cache ([num_blocks, kv_heads, block_size] rows of head_dim elements) for the token at place `kv_index` >= 0.
__device__ __forceinline__ int64_t kv_row(int64_t kv_index, int kv_head, int kv_heads, int64_t block_size) {
  // In 32 bits where possible: a division in 64 takes a good part of a microsecond.
  const int64_t block = kv_index <= 0xffffffff && block_size <= 0xffffffff
                            ? static_cast<uint32_t>(kv_index) / static_cast<uint32_t>(block_size)
                            : kv_index / block_size;
  return (block * kv_heads + kv_head) * block_size + (kv_index - block * block_size);
}

// Scales by the norm's weights over the root mean square (norm.data != nullptr), then rotates: element i of x pairs with
// i + dim / 2 (rotate_half). kLanes neighbouring lanes of a warp call together, as lanes sub = 0 ... kLanes - 1; a lane takes N
// neighbouring pairs at a time, and `cos_sin` (cos, sin, cos, ...) is aligned to them. emit(i, low, high) gets the elements
// [i, i + N) and [dim / 2 + i, dim / 2 + i + N).
template <int kLanes, int N, typename T, typename Emit>
__device__ __forceinline__ void norm_rope_head(const T* x, int dim, const AnyVector& norm, float eps, const float* cos_sin,
                                               int sub, Emit emit) {
  const int half = dim / 2;
  float scale = 1.0f;
  if (norm.data) {
    float squares = 0.0f;
    for (int i = sub * N; i < dim; i += kLanes * N) {
      const Vec<T, N> v = load_vec<N>(x + i);
      float part = 0.0f;  // by itself, so that twice the lanes give the same bits
#pragma unroll
      for (int j = 0; j < N; ++j) part += to_float(v.v[j]) * to_float(v.v[j]);
      squares += part;
    }
    const unsigned lanes = kLanes == 32 ? 0xffffffffu : ((1u << kLanes % 32) - 1) << (threadIdx.x % 32 / kLanes * kLanes);
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2) squares += __shfl_xor_sync(lanes, squares, offset);
    scale = 1.0f / sqrtf(squares / static_cast<float>(dim) + eps);
  }
  for (int i = sub * N; i < half; i += kLanes * N) {
    const Vec<T, N> low = load_vec<N>(x + i);
    const Vec<T, N> high = load_vec<N>(x + half + i);
    Vec<float, 2 * N> angle;  // cos, sin, cos, ...
    if constexpr (N == 1) {   // the table's rows may lie anywhere
      angle.v[0] = cos_sin[2 * i];
      angle.v[1] = cos_sin[2 * i + 1];
    } else {
      angle = load_vec<2 * N>(cos_sin + 2 * i);
    }
    Vec<T, N> new_low, new_high;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      float a = to_float(low.v[j]);
      float b = to_float(high.v[j]);
      if (norm.data) {
        a *= scale * load_any<1>(norm, i + j).v[0];
        b *= scale * load_any<1>(norm, half + i + j).v[0];
      }
      const float c = angle.v[2 * j];
      const float s = angle.v[2 * j + 1];
      new_low.v[j] = from_float<T>(a * c - b * s);
      new_high.v[j] = from_float<T>(b * c + a * s);
    }
    emit(i, new_low, new_high);
  }
}

}  // namespace lockstep::cuda
