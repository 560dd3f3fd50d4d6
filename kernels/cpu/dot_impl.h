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

// How numbers X of one side and W of the other are multiplied: kElements of each go into one operand of a multiply-add.
template <typename X, typename W>
struct Products {  // float32 with whatever widens to it
  static constexpr int kElements = kLanes;
  static Vec load_x(const X* p) { return load(p); }
  static Vec load_w(const W* p) { return load(p); }
  static Vec load_x_part(const X* p, int64_t n) { return load_part(p, n); }
  static Vec load_w_part(const W* p, int64_t n) { return load_part(p, n); }
  static Vec add(Vec acc, Vec x, Vec w) { return fma(x, w, acc); }
};

#ifdef LOCKSTEP_BF16
// Lane l of the accumulator takes elements 2 l + 1 and 2 l, in this order.
template <>
struct Products<Bf16, Bf16> {
  static constexpr int kElements = 2 * kLanes;
  static __m512bh load_x(const Bf16* p) { return (__m512bh)_mm512_loadu_si512(p); }
  static __m512bh load_w(const Bf16* p) { return load_x(p); }
  static __m512bh load_x_part(const Bf16* p, int64_t n) {
    return (__m512bh)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
  }
  static __m512bh load_w_part(const Bf16* p, int64_t n) { return load_x_part(p, n); }
  static Vec add(Vec acc, __m512bh x, __m512bh w) { return _mm512_dpbf16_ps(acc, x, w); }
};
#endif

#if LOCKSTEP_SIMD == 512
// sums[i] = reduce_add(acc[i]) for i < N <= 24; sixteen and eight at a time, some of them twice where N is no multiple.
template <int N>
inline __attribute__((always_inline)) void reduce_all(float* sums, const Vec* acc) {
  constexpr int kSixteens = N / 16 * 16, kRest = N - kSixteens;
  if constexpr (kSixteens == 16) reduce_add16(sums, acc);
  if constexpr (kRest == 1) {
    sums[kSixteens] = reduce_add(acc[kSixteens]);
  } else if constexpr (kRest > 8) {
    Vec last[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) last[i] = acc[i < kRest ? i : kRest - 1];
    float all[16];
    reduce_add16(all, last);
    __builtin_memcpy(sums, all, kRest * sizeof(float));
  } else if constexpr (kRest > 0) {
    Vec last[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) last[i] = acc[kSixteens + (i < kRest ? i : kRest - 1)];
    float all[8];
    reduce_add8(all, last);
    __builtin_memcpy(sums + kSixteens, all, kRest * sizeof(float));
  }
}
#else
// sums[i] = reduce_add(acc[i]) for i < N.
template <int N>
inline __attribute__((always_inline)) void reduce_all(float* sums, const Vec* acc) {
  constexpr int kFours = N / 4 * 4;
#pragma GCC unroll 8
  for (int i = 0; i < kFours; i += 4) {
    const Four four = reduce_add4(acc[i], acc[i + 1], acc[i + 2], acc[i + 3]);
    __builtin_memcpy(sums + i, &four, sizeof(four));
  }
#pragma GCC unroll 4
  for (int i = kFours; i < N; ++i) sums[i] = reduce_add(acc[i]);
}
#endif

// One step at element i, of which n < kElements exist if Part: acc[m * NR + n] += x[m][i ..] * w[n][i ..].
template <int MR, int NR, int Step, bool Part, typename X, typename T>
inline __attribute__((always_inline)) void dot_step(Vec* acc, const X* const* x, const T* const* w, const T* packed, int64_t i,
                                                    int64_t n) {
  using P = Products<X, T>;
  // The fewer operands, those of x, stay in registers beside the accumulators: AVX2 has one left for w then.
  decltype(P::load_x(x[0])) xv[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) xv[m] = Part ? P::load_x_part(x[m] + i, n) : P::load_x(x[m] + i);
#pragma GCC unroll 8
  for (int j = 0; j < NR; ++j) {
    const T* p = Step == 0 ? w[j] + i : packed + j * P::kElements;
    const auto wv = Part ? P::load_w_part(p, n) : P::load_w(p);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) acc[m * NR + j] = P::add(acc[m * NR + j], xv[m], wv);
  }
}

// What to ask of memory while a tile is computed: for cache line i of row n of w, at + i * line_step + n * row_step.
struct Ahead {
  const char* at = nullptr;
  int64_t line_step = 0;
  int64_t row_step = 0;
};

// acc[m * NR + n] = x[m] . w[n] over the k elements of one K-block, lane by lane. Prefetch: ask for what `ahead`
// says. Step: elements from one operand of a row of w to its next, where operand i of all rows lie side by side from w[0] on; 0
// where a row is contiguous.
template <int MR, int NR, bool Prefetch, int Step = 0, typename X, typename T>
inline __attribute__((always_inline)) void dot_lanes(Vec* acc, const X* const* x, const T* const* w, int64_t k,
                                                     const Ahead& ahead) {
  constexpr int kElements = Products<X, T>::kElements;
#pragma GCC unroll 32
  for (int i = 0; i < MR * NR; ++i) acc[i] = zero();
  static_assert(Step == 0 || !Prefetch);
  const T* packed = w[0];
  int64_t i = 0;
  if constexpr (Prefetch) {
    constexpr int kLine = 64 / sizeof(T);  // elements of a cache line
    for (; i + kLine <= k; i += kLine) {
#pragma GCC unroll 8
      for (int n = 0; n < NR; ++n) prefetch(ahead.at + i / kLine * ahead.line_step + n * ahead.row_step);
#pragma GCC unroll 8
      for (int j = 0; j < kLine; j += kElements) dot_step<MR, NR, Step, false>(acc, x, w, packed, i + j, kElements);
    }
  }
  for (; i + kElements <= k; i += kElements, packed += Step) dot_step<MR, NR, Step, false>(acc, x, w, packed, i, kElements);
  if (i < k) dot_step<MR, NR, Step, true>(acc, x, w, packed, i, k - i);  // zeros beyond the end
}

// sums[m * NR + n] = x[m] . w[n] over one K-block, for mr <= MR rows of x.
template <int MR, int NR, bool Prefetch, int Step = 0, typename X, typename T>
inline void dot_tile(float* sums, const X* const* x, int64_t mr, const T* const* w, int64_t k, const Ahead& ahead) {
  if (mr == MR) {
    Vec acc[MR * NR];
    dot_lanes<MR, NR, Prefetch, Step>(acc, x, w, k, ahead);
    reduce_all<MR * NR>(sums, acc);
  } else if constexpr (MR > 1) {
    dot_tile<MR - 1, NR, Prefetch, Step>(sums, x, mr, w, k, ahead);
  }
}

}  // namespace
}  // namespace lockstep::cpu
