// A square of kLanes x kLanes elements of 32 bits, turned over in registers.
#pragma once

#include "kernels/cpu/simd.h"

namespace lockstep::cpu {
namespace {

// Row i of a becomes column i; bits are moved, whatever they mean.
inline __attribute__((always_inline)) void transpose(Vec* a) {
#if LOCKSTEP_SIMD == 512
  Vec b[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // within 128 bits: b[i + c] has column c, 4 + c, 8 + c, 12 + c of rows i to i + 3
    const __m512d low01 = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xffff, a[i], a[i + 1]));
    const __m512d low23 = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xffff, a[i + 2], a[i + 3]));
    const __m512d high01 = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xffff, a[i], a[i + 1]));
    const __m512d high23 = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xffff, a[i + 2], a[i + 3]));
    b[i] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, low01, low23));
    b[i + 1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, low01, low23));
    b[i + 2] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, high01, high23));
    b[i + 3] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, high01, high23));
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const Vec low07 = _mm512_maskz_shuffle_f32x4(0xffff, b[c], b[4 + c], 0x44);
    const Vec high07 = _mm512_maskz_shuffle_f32x4(0xffff, b[c], b[4 + c], 0xee);
    const Vec low8f = _mm512_maskz_shuffle_f32x4(0xffff, b[8 + c], b[12 + c], 0x44);
    const Vec high8f = _mm512_maskz_shuffle_f32x4(0xffff, b[8 + c], b[12 + c], 0xee);
    a[c] = _mm512_maskz_shuffle_f32x4(0xffff, low07, low8f, 0x88);
    a[4 + c] = _mm512_maskz_shuffle_f32x4(0xffff, low07, low8f, 0xdd);
    a[8 + c] = _mm512_maskz_shuffle_f32x4(0xffff, high07, high8f, 0x88);
    a[12 + c] = _mm512_maskz_shuffle_f32x4(0xffff, high07, high8f, 0xdd);
  }
#elif LOCKSTEP_SIMD == 2
  Vec b[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {  // within 128 bits: b[i + c] has column c and 4 + c of rows i to i + 3
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(a[i], a[i + 1]));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(a[i + 2], a[i + 3]));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(a[i], a[i + 1]));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(a[i + 2], a[i + 3]));
    b[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
    b[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
    b[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
    b[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    a[c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x20);
    a[4 + c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x31);
  }
#else
  const Vec low01 = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5), high01 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7);
  const Vec low23 = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5), high23 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
  a[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  a[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  a[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  a[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
#endif
}

}  // namespace
}  // namespace lockstep::cpu
