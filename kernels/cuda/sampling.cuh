// What the sampling kernels share.
#pragma once

#include <cstdint>

namespace lockstep::cuda {

// Logits as integers in the same order; NaN becomes 0, below everything else. -0 and +0 are one value.
__device__ __forceinline__ uint32_t ordered_bits(float x) {
  if (isnan(x)) return 0;
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
// The inverse for what is not NaN.
__device__ __forceinline__ float from_ordered_bits(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// f(x[c], c) for the c in [0, n) of this thread: one in kThreads, several loads in flight. No barrier inside f.
template <int kThreads, typename F>
__device__ __forceinline__ void for_each_of_block(const float* x, int n, F f) {
  constexpr int kUnroll = 4;
  for (int base = threadIdx.x; base < n; base += kUnroll * kThreads) {
    float v[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) v[u] = base + u * kThreads < n ? x[base + u * kThreads] : 0.0f;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (base + u * kThreads < n) f(v[u], base + u * kThreads);
    }
  }
}

}  // namespace lockstep::cuda
