// The vector of float32 that an instruction set offers, with loads and stores that convert from and to bfloat16 and float16.
// A file that includes this defines LOCKSTEP_SIMD as 0 (any processor), 2 (AVX2, FMA, F16C) or 512 (AVX-512 F, BW, DQ, VL), and
// LOCKSTEP_BF16 where there is AVX-512 BF16, too.
// Everything has internal linkage; see kernels.h for the reason.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if LOCKSTEP_SIMD != 0
#include <immintrin.h>
#endif

#include "base/dtype.h"

namespace lockstep::cpu {
namespace {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

inline float as_float(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof(x));
  return x;
}

#if LOCKSTEP_SIMD == 512

using Vec = __m512;
constexpr int kLanes = 16;

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec set1(float x) { return _mm512_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
// The second operand where either is NaN.
inline Vec max(Vec a, Vec b) { return _mm512_maskz_max_ps(0xffff, a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_maskz_min_ps(0xffff, a, b); }
// a where x >= bound, else 0.
inline Vec zero_below(Vec a, Vec x, Vec bound) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), a); }
// 2^n where t = n + 1.5 * 2^23.
inline Vec pow2_of_rounded(Vec t) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(t), 23), _mm512_set1_epi32(0x3f800000)));
}

inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec widen_bf16(__m256i x) {
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, x), 16));
}
inline Vec load(const Bf16* p) { return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec load(const F16* p) { return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec load_part(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline Vec load_part(const Bf16* p, int64_t n) { return widen_bf16(_mm256_maskz_loadu_epi16(first(n), p)); }
inline Vec load_part(const F16* p, int64_t n) { return _mm512_maskz_cvtph_ps(0xffff, _mm256_maskz_loadu_epi16(first(n), p)); }

inline __m256i narrow_bf16(Vec x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i high = _mm512_maskz_srli_epi32(0xffff, bits, 16);
  const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
  return _mm512_maskz_cvtepi32_epi16(0xffff, _mm512_mask_mov_epi32(rounded, nan, quiet));
}
inline __m256i narrow_f16(Vec x) { return _mm512_maskz_cvtps_ph(0xffff, x, _MM_FROUND_TO_NEAREST_INT); }
inline void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
inline void store(Bf16* p, Vec x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_bf16(x)); }
inline void store(F16* p, Vec x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_f16(x)); }
inline void store_part(float* p, Vec x, int64_t n) { _mm512_mask_storeu_ps(p, first(n), x); }
inline void store_part(Bf16* p, Vec x, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), narrow_bf16(x)); }
inline void store_part(F16* p, Vec x, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), narrow_f16(x)); }

// Not _mm512_castps512_ps256, for which GCC warns of an uninitialised value of its own.
inline __m256 low_half(Vec a) { return __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7); }
inline __m256 high_half(Vec a) { return __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15); }
inline __m128 fold_to_4(Vec a) {
  const __m256 half = _mm256_add_ps(low_half(a), high_half(a));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
// out[0..16) = reduce_add of a[0..16) with the same bits: each step adds the halves of two vectors into one.
inline void reduce_add16(float* out, const Vec* a) {
  Vec b[8], c[4], d[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {  // lanes of 128 bits: [a0 a0 a1 a1]
    const Vec x = a[2 * i], y = a[2 * i + 1];
    b[i] = add(_mm512_maskz_shuffle_f32x4(0xffff, x, y, 0x44), _mm512_maskz_shuffle_f32x4(0xffff, x, y, 0xee));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // [a0 a1 a2 a3]
    const Vec x = b[2 * i], y = b[2 * i + 1];
    c[i] = add(_mm512_maskz_shuffle_f32x4(0xffff, x, y, 0x88), _mm512_maskz_shuffle_f32x4(0xffff, x, y, 0xdd));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {  // within 128 bits: (l, l + 2)
    const __m512d x = _mm512_castps_pd(c[2 * i]), y = _mm512_castps_pd(c[2 * i + 1]);
    d[i] = add(_mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, x, y)), _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, x, y)));
  }
  const Vec e = add(_mm512_maskz_shuffle_ps(0xffff, d[0], d[1], 0x88), _mm512_maskz_shuffle_ps(0xffff, d[0], d[1], 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_ps(out, _mm512_maskz_permutexvar_ps(0xffff, order, e));
}
// out[0..8) = reduce_add of a[0..8), likewise.
inline void reduce_add8(float* out, const Vec* a) {
  Vec b[4], c[2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Vec x = a[2 * i], y = a[2 * i + 1];
    b[i] = add(_mm512_maskz_shuffle_f32x4(0xffff, x, y, 0x44), _mm512_maskz_shuffle_f32x4(0xffff, x, y, 0xee));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const Vec x = b[2 * i], y = b[2 * i + 1];
    c[i] = add(_mm512_maskz_shuffle_f32x4(0xffff, x, y, 0x88), _mm512_maskz_shuffle_f32x4(0xffff, x, y, 0xdd));
  }
  const __m512d x = _mm512_castps_pd(c[0]), y = _mm512_castps_pd(c[1]);
  const Vec d =
      add(_mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, x, y)), _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, x, y)));
  const Vec e = add(_mm512_maskz_shuffle_ps(0xffff, d, d, 0x88), _mm512_maskz_shuffle_ps(0xffff, d, d, 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm256_storeu_ps(out, low_half(_mm512_maskz_permutexvar_ps(0xffff, order, e)));
}
// Stores the lanes with lowest <= x <= highest next to each other, and how many they are; what lies behind them in the whole
// vector at p is overwritten.
inline int64_t pack_between(float* p, Vec x, Vec lowest, Vec highest) {
  const auto chosen =
      static_cast<__mmask16>(_mm512_cmp_ps_mask(x, lowest, _CMP_GE_OQ) & _mm512_cmp_ps_mask(x, highest, _CMP_LE_OQ));
  _mm512_storeu_ps(p, _mm512_maskz_compress_ps(chosen, x));
  return __builtin_popcount(chosen);
}
inline __m128 fold_max_to_4(Vec a) {
  const __m256 half = _mm256_max_ps(low_half(a), high_half(a));
  return _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#elif LOCKSTEP_SIMD == 2

using Vec = __m256;
constexpr int kLanes = 8;

inline __m256i first(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec set1(float x) { return _mm256_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }  // the second operand where either is NaN
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec zero_below(Vec a, Vec x, Vec bound) { return _mm256_and_ps(a, _mm256_cmp_ps(x, bound, _CMP_NLT_UQ)); }
inline Vec pow2_of_rounded(Vec t) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23), _mm256_set1_epi32(0x3f800000)));
}

inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec widen_bf16(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
inline Vec load(const Bf16* p) { return widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Vec load(const F16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline __m128i load_part16(const void* p, int64_t n) {
  alignas(16) uint16_t part[8] = {};
  for (int64_t i = 0; i < n; ++i) part[i] = static_cast<const uint16_t*>(p)[i];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(part));
}
inline Vec load_part(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
inline Vec load_part(const Bf16* p, int64_t n) { return widen_bf16(load_part16(p, n)); }
inline Vec load_part(const F16* p, int64_t n) { return _mm256_cvtph_ps(load_part16(p, n)); }

inline __m128i narrow_bf16(Vec x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i high = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1));
}
inline __m128i narrow_f16(Vec x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }
inline void store_part16(void* p, __m128i x, int64_t n) {
  alignas(16) uint16_t part[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(part), x);
  for (int64_t i = 0; i < n; ++i) static_cast<uint16_t*>(p)[i] = part[i];
}
inline void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
inline void store(Bf16* p, Vec x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_bf16(x)); }
inline void store(F16* p, Vec x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_f16(x)); }
inline void store_part(float* p, Vec x, int64_t n) { _mm256_maskstore_ps(p, first(n), x); }
inline void store_part(Bf16* p, Vec x, int64_t n) { store_part16(p, narrow_bf16(x), n); }
inline void store_part(F16* p, Vec x, int64_t n) { store_part16(p, narrow_f16(x), n); }

// For each set of lanes their numbers, a byte each, lowest first.
struct LaneLists {
  uint64_t of[256];
};
constexpr LaneLists make_lane_lists() {
  LaneLists lists{};
  for (unsigned set = 0; set < 256; ++set) {
    unsigned place = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      if ((set >> lane & 1u) != 0) lists.of[set] |= static_cast<uint64_t>(lane) << 8 * place++;
    }
  }
  return lists;
}
constexpr LaneLists kLaneLists = make_lane_lists();
// As with AVX-512.
inline int64_t pack_between(float* p, Vec x, Vec lowest, Vec highest) {
  const __m256 chosen = _mm256_and_ps(_mm256_cmp_ps(x, lowest, _CMP_GE_OQ), _mm256_cmp_ps(x, highest, _CMP_LE_OQ));
  const auto set = static_cast<unsigned>(_mm256_movemask_ps(chosen));
  const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kLaneLists.of[set])));
  _mm256_storeu_ps(p, _mm256_permutevar8x32_ps(x, lanes));
  return __builtin_popcount(set);
}

inline __m128 fold_to_4(Vec a) { return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)); }
inline __m128 fold_max_to_4(Vec a) { return _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)); }

#else  // any processor: GCC's and Clang's vector extension, four lanes

typedef float Vec __attribute__((vector_size(16)));
typedef uint32_t UintVec __attribute__((vector_size(16)));
constexpr int kLanes = 4;

inline Vec zero() { return Vec{}; }
inline Vec set1(float x) { return Vec{x, x, x, x}; }
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec add(Vec a, Vec b) { return a + b; }
inline Vec sub(Vec a, Vec b) { return a - b; }
inline Vec mul(Vec a, Vec b) { return a * b; }
inline Vec div(Vec a, Vec b) { return a / b; }
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }  // the second operand where either is NaN
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline Vec zero_below(Vec a, Vec x, Vec bound) { return x < bound ? Vec{} : a; }
inline Vec pow2_of_rounded(Vec t) { return (Vec)(((UintVec)t << 23) + 0x3f800000u); }

inline float widen(float x) { return x; }
inline float widen(Bf16 x) { return as_float(static_cast<uint32_t>(x.bits) << 16); }
inline float widen(F16 x) { return f16_to_float(x.bits); }
inline void narrow(float* p, float x) { *p = x; }
inline void narrow(Bf16* p, float x) { p->bits = float_to_bf16(x); }
inline void narrow(F16* p, float x) { p->bits = float_to_f16(x); }
template <typename T>
inline Vec load(const T* p) {
  return Vec{widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])};
}
inline Vec load(const float* p) {
  Vec x;
  __builtin_memcpy(&x, p, sizeof(x));
  return x;
}
inline Vec load(const Bf16* p) {
  typedef uint16_t Halves __attribute__((vector_size(8)));
  Halves x;
  __builtin_memcpy(&x, p, sizeof(x));
  return (Vec)(__builtin_convertvector(x, UintVec) << 16);
}
template <typename T>
inline Vec load_part(const T* p, int64_t n) {
  Vec x{};
  for (int64_t i = 0; i < n; ++i) x[i] = widen(p[i]);
  return x;
}
template <typename T>
inline void store(T* p, Vec x) {
  for (int i = 0; i < kLanes; ++i) narrow(p + i, x[i]);
}
template <typename T>
inline void store_part(T* p, Vec x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) narrow(p + i, x[i]);
}

inline Vec fold_max_to_4(Vec a) { return a; }

#endif

typedef float Four __attribute__((vector_size(16)));

#if LOCKSTEP_SIMD != 0

// The sum of the lanes, by halves: (l, l + W/2), then (l, l + W/4), ...
inline float reduce_add(Vec a) {
  __m128 x = fold_to_4(a);
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  x = _mm_add_ss(x, _mm_shuffle_ps(x, x, 1));
  return _mm_cvtss_f32(x);
}
// reduce_add of a, b, c and d, with the same bits.
inline Four reduce_add4(Vec a, Vec b, Vec c, Vec d) {
  const __m128 a4 = fold_to_4(a), b4 = fold_to_4(b), c4 = fold_to_4(c), d4 = fold_to_4(d);
  const __m128 ab = _mm_add_ps(_mm_movelh_ps(a4, b4), _mm_movehl_ps(b4, a4));
  const __m128 cd = _mm_add_ps(_mm_movelh_ps(c4, d4), _mm_movehl_ps(d4, c4));
  return _mm_add_ps(_mm_shuffle_ps(ab, cd, _MM_SHUFFLE(2, 0, 2, 0)), _mm_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 1, 3, 1)));
}
// Into the second-level cache: the few buffers that fill the first-level one must not wait for memory. Inlined at once, or GCC
// takes the function for one without effect and drops the call.
inline __attribute__((always_inline)) void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

#else

inline float reduce_add(Vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
inline Four reduce_add4(Vec a, Vec b, Vec c, Vec d) { return Four{reduce_add(a), reduce_add(b), reduce_add(c), reduce_add(d)}; }
inline __attribute__((always_inline)) void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

#endif

#if LOCKSTEP_SIMD == 0
inline int64_t pack_between(float* p, Vec x, Vec lowest, Vec highest) {
  float lanes[kLanes];
  store(lanes, x);
  const float from = lowest[0], to = highest[0];
  int64_t n = 0;
  for (int i = 0; i < kLanes; ++i) {
    p[n] = lanes[i];
    n += static_cast<int64_t>(lanes[i] >= from) & static_cast<int64_t>(lanes[i] <= to);
  }
  return n;
}
#endif

// A number that is to be multiplied: rounded to what the products take.
inline void store_product(float* p, Vec x) { store(p, x); }
#ifdef LOCKSTEP_BF16
// The processor's own rounding, which takes denormal numbers for zeros, as its products do.
inline void store_product(Bf16* p, Vec x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x)); }
#endif

inline float reduce_max(Vec a) {
  const auto x = fold_max_to_4(a);
  const float m0 = x[0] > x[2] ? x[0] : x[2];
  const float m1 = x[1] > x[3] ? x[1] : x[3];
  return m0 > m1 ? m0 : m1;
}

// exp(x), relative error below 2e-7 for x <= 88; 0 below -87.3; NaN for NaN. Range reduction by ln 2 in two parts and a
// polynomial of degree 6, as in the Cephes library.
inline Vec exp(Vec x) {
  const Vec low = set1(-87.33654f);
  const Vec clamped = max(low, min(set1(88.37626f), x));
  const Vec magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec t = fma(clamped, set1(1.44269504f), magic);
  const Vec n = sub(t, magic);
  Vec r = fma(n, set1(-0.693359375f), clamped);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  const Vec y = add(fma(p, mul(r, r), r), set1(1.0f));
  return zero_below(mul(y, pow2_of_rounded(t)), x, low);
}

// Calls fn with a null pointer of the element type that `dtype` names.
template <typename Fn>
inline void with_type(DType dtype, Fn fn) {
  if (dtype == DType::kBFloat16) {
    fn(static_cast<const Bf16*>(nullptr));
  } else if (dtype == DType::kFloat16) {
    fn(static_cast<const F16*>(nullptr));
  } else {
    fn(static_cast<const float*>(nullptr));
  }
}

}  // namespace
}  // namespace lockstep::cpu
