// What the sampling kernels share.
#pragma once

#include <cstdint>

namespace lockstep::cuda {

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
