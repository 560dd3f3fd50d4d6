// Reductions over a warp and a block; the order of operations is fixed, so the same inputs give the same bits.
#pragma once

#include <cstdint>

namespace lockstep::cuda {

inline constexpr unsigned kFullMask = 0xffffffffu;

struct Sum {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};
struct Min {
  __device__ __forceinline__ float operator()(float a, float b) const { return fminf(a, b); }
};

// Every lane gets the result.
template <typename T, typename Op>
__device__ __forceinline__ T warp_reduce(T x, Op op) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = op(x, __shfl_xor_sync(kFullMask, x, offset));
  return x;
}

// Every thread gets the result. `shared`: 32 elements, free to reuse once the call returns. blockDim.x is a multiple of 32.
template <typename T, typename Op>
__device__ __forceinline__ T block_reduce(T x, T identity, T* shared, Op op) {
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int warps = blockDim.x / 32;
  x = warp_reduce(x, op);
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  x = warp_reduce(lane < warps ? shared[lane] : identity, op);
  __syncthreads();
  return x;
}

}  // namespace lockstep::cuda
