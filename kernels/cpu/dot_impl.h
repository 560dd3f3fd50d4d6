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
  for (int i = kBegin; i < kFours; i += 4) {
    const Four four = reduce_add4(acc[i], acc[i + 1], acc[i + 2], acc[i + 3]);
    __builtin_memcpy(sums + i, &four, sizeof(four));
  }
#pragma GCC unroll 4
  for (int i = kFours; i < N; ++i) sums[i] = reduce_add(acc[i]);
}

// One vector step at element i, of which n < kLanes exist if Part: acc[m * NR + n] += x[m][i ..] * w[n][i ..].
template <int MR, int NR, int Step, bool Part, typename T>
inline __attribute__((always_inline)) void dot_step(Vec* acc, const float* const* x, const T* const* w, int64_t i, int64_t n) {
  Vec wv[NR];
#pragma GCC unroll 8
  for (int j = 0; j < NR; ++j) {
    const T* p = w[j] + (Step == kLanes ? i : i / kLanes * Step);
    wv[j] = Part ? load_part(p, n) : load(p);
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
    const Vec xv = Part ? load_part(x[m] + i, n) : load(x[m] + i);
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) acc[m * NR + j] = fma(xv, wv[j], acc[m * NR + j]);
  }
}

// acc[m * NR + n] = x[m] . w[n] over the k elements of one K-block, lane by lane. Ahead: prefetch what lies `ahead` bytes past
// each w. Step: elements from one vector of a row of w to its next.
template <int MR, int NR, bool Ahead, int Step = kLanes, typename T>
inline __attribute__((always_inline)) void dot_lanes(Vec* acc, const float* const* x, const T* const* w, int64_t k,
                                                     int64_t ahead) {
#pragma GCC unroll 32
  for (int i = 0; i < MR * NR; ++i) acc[i] = zero();
  int64_t i = 0;
  if constexpr (Ahead) {
    constexpr int kLine = 64 / sizeof(T);  // elements of a cache line
    for (; i + kLine <= k; i += kLine) {
#pragma GCC unroll 8
      for (int n = 0; n < NR; ++n) prefetch(reinterpret_cast<const char*>(w[n] + i) + ahead);
#pragma GCC unroll 8
      for (int j = 0; j < kLine; j += kLanes) dot_step<MR, NR, Step, false>(acc, x, w, i + j, kLanes);
    }
  }
  for (; i + kLanes <= k; i += kLanes) dot_step<MR, NR, Step, false>(acc, x, w, i, kLanes);
  if (i < k) dot_step<MR, NR, Step, true>(acc, x, w, i, k - i);  // zeros beyond the end
}

// sums[m * NR + n] = x[m] . w[n] over one K-block, for mr <= MR rows of x.
template <int MR, int NR, bool Ahead, int Step = kLanes, typename T>
inline void dot_tile(float* sums, const float* const* x, int64_t mr, const T* const* w, int64_t k, int64_t ahead) {
  if (mr == MR) {
    Vec acc[MR * NR];
    dot_lanes<MR, NR, Ahead, Step>(acc, x, w, k, ahead);
    reduce_all<MR * NR>(sums, acc);
  } else if constexpr (MR > 1) {
    dot_tile<MR - 1, NR, Ahead, Step>(sums, x, mr, w, k, ahead);
  }
}

}  // namespace
}  // namespace lockstep::cpu
