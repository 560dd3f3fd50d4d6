// Element types in kernels: conversions to and from float, vectors of elements, and the step from a DType to a template argument.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float to_float(f16 x) { return __half2float(x); }

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ __forceinline__ f16 from_float<f16>(float x) {
  return __float2half_rn(x);
}

// N elements moved by one access (two where they are 32 bytes). Its address must be a multiple of its alignment.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Vec {
  T v[N];
};
template <int N, typename T>
__device__ __forceinline__ Vec<T, N> load_vec(const T* p) {
  return *reinterpret_cast<const Vec<T, N>*>(p);
}
template <int N, typename T>
__device__ __forceinline__ void store_vec(T* p, const Vec<T, N>& x) {
  *reinterpret_cast<Vec<T, N>*>(p) = x;
}

// Elements [i, i + N) of a vector as floats. Aligned to N elements unless N == 1.
template <int N>
__device__ __forceinline__ Vec<float, N> load_any(const AnyVector& x, int64_t i) {
  Vec<float, N> out;
  if (x.dtype == DType::kBFloat16) {
    const Vec<bf16, N> t = load_vec<N>(static_cast<const bf16*>(x.data) + i);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] = to_float(t.v[j]);
  } else if (x.dtype == DType::kFloat16) {
    const Vec<f16, N> t = load_vec<N>(static_cast<const f16*>(x.data) + i);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] = to_float(t.v[j]);
  } else {
    out = load_vec<N>(static_cast<const float*>(x.data) + i);
  }
  return out;
}

// Host side.

template <typename T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) for the element type of a float dtype.
template <typename F>
void dispatch_float(DType t, F&& f) {
  switch (t) {
    case DType::kBFloat16: f(TypeTag<bf16>{}); break;
    case DType::kFloat16: f(TypeTag<f16>{}); break;
    default: f(TypeTag<float>{}); break;
  }
}

inline bool aligned_to(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

// Every row of the view can be read in vectors of n elements.
inline bool rows_aligned(const TensorView& x, int64_t n) {
  return x.cols % n == 0 && (x.rows <= 1 || x.stride % n == 0) && aligned_to(x.data, static_cast<size_t>(n) * size_of(x.dtype));
}
inline bool vector_aligned(const AnyVector& x, int64_t n) {
  return x.data == nullptr || aligned_to(x.data, static_cast<size_t>(n) * size_of(x.dtype));
}

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace lockstep::cuda
