// Tiles of dot products: the one inner loop of linears and of attention scores. See kernels.h for the order of summation.
#pragma once

#include "kernels/cpu/simd.h"

namespace lockstep::cpu {
namespace {

// Rows of x and of w in the tile that keeps the multipliers busy: kTileM * kTileN accumulators, kTileN weights and one x fit
// into the registers (32, 16, 16).
#if LOCKSTEP_SIMD == 512
constexpr int kTileM = 4, kTileN = 6;
#elif LOCKSTEP_SIMD == 2
constexpr int kTileM = 3, kTileN = 4;
#else
constexpr int kTileM = 2, kTileN = 4;
#endif

// sums[i] = reduce_add(acc[i]) for i < N.
template <int N>
inline __attribute__((always_inline)) void reduce_all(float* sums, const Vec* acc) {
  constexpr int kFours = N / 4 * 4;
#if LOCKSTEP_SIMD == 512
  constexpr int kBegin = N / 16 * 16;
  if constexpr (kBegin == 16) reduce_add16(sums, acc);
#else
  constexpr int kBegin = 0;
#endif
#pragma GCC unroll 8
  for (int i = kBegin; i < kFours; i += 4) reduce_add4(sums + i, acc[i], acc[i + 1], acc[i + 2], acc[i + 3]);
#pragma GCC unroll 4
  for (int i = kFours; i < N; ++i) sums[i] = reduce_add(acc[i]);
}

// sums[m * NR + n] = x[m] . w[n] over k elements: one K-block. Ahead: prefetch what lies `ahead` bytes past each w. Step:
// elements from one vector of a row of w to its next.
template <int MR, int NR, bool Ahead, int Step = kLanes, typename T>
inline __attribute__((always_inline)) void dot_tile(float* sums, const float* const* x, const T* const* w, int64_t k,
                                                    int64_t ahead) {
  Vec acc[MR * NR];
#pragma GCC unroll 32
  for (int i = 0; i < MR * NR; ++i) acc[i] = zero();
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    Vec wv[NR];
#pragma GCC unroll 8
    for (int n = 0; n < NR; ++n) {
      wv[n] = load(w[n] + i / kLanes * Step);
      if constexpr (Ahead) prefetch(reinterpret_cast<const char*>(w[n] + i) + ahead);
    }
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec xv = load(x[m] + i);
#pragma GCC unroll 8
      for (int n = 0; n < NR; ++n) acc[m * NR + n] = fma(xv, wv[n], acc[m * NR + n]);
    }
  }
  if (i < k) {  // zeros beyond the end
    Vec wv[NR];
#pragma GCC unroll 8
    for (int n = 0; n < NR; ++n) wv[n] = load_part(w[n] + i / kLanes * Step, k - i);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec xv = load_part(x[m] + i, k - i);
#pragma GCC unroll 8
      for (int n = 0; n < NR; ++n) acc[m * NR + n] = fma(xv, wv[n], acc[m * NR + n]);
    }
  }
  reduce_all<MR * NR>(sums, acc);
}

// The same for mr <= MR rows of x.
template <int MR, int NR, bool Ahead, int Step = kLanes, typename T>
inline void dot_tile_upto(float* sums, const float* const* x, int64_t mr, const T* const* w, int64_t k, int64_t ahead) {
  if (mr == MR) {
    dot_tile<MR, NR, Ahead, Step>(sums, x, w, k, ahead);
  } else if constexpr (MR > 1) {
    dot_tile_upto<MR - 1, NR, Ahead, Step>(sums, x, mr, w, k, ahead);
  }
}

}  // namespace
}  // namespace lockstep::cpu
