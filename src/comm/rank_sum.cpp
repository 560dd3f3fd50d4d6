#include "comm/rank_sum.h"

#include <immintrin.h>

#include <cstring>

#include "base/error.h"

namespace lockstep {
namespace {

// Vectors of the compiler, 16 elements wide: with the baseline instruction set they become four SSE registers, with AVX2 two.
typedef float F32x16 __attribute__((vector_size(64)));
typedef uint32_t U32x16 __attribute__((vector_size(64)));
typedef uint16_t U16x16 __attribute__((vector_size(32)));
constexpr int kWidth = 16;

template <DType T>
constexpr size_t kSize = T == DType::kFloat32 ? 4 : 2;

namespace portable {

inline void load_f16(F32x16& v, const uint16_t* p) {
  for (int i = 0; i < kWidth; ++i) v[i] = f16_to_float(p[i]);
}
inline void store_f16(uint16_t* p, const F32x16& v) {
  for (int i = 0; i < kWidth; ++i) p[i] = float_to_f16(v[i]);
}
#include "comm/rank_sum_impl.h"

}  // namespace portable

#pragma GCC push_options
#pragma GCC target("avx2,f16c")
namespace avx2 {

inline void load_f16(F32x16& v, const uint16_t* p) {
  const __m256 low = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256 high = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)));
  std::memcpy(&v, &low, 32);
  std::memcpy(reinterpret_cast<char*>(&v) + 32, &high, 32);
}
inline void store_f16(uint16_t* p, const F32x16& v) {
  __m256 low, high;
  std::memcpy(&low, &v, 32);
  std::memcpy(&high, reinterpret_cast<const char*>(&v) + 32, 32);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT));
}
#include "comm/rank_sum_impl.h"

}  // namespace avx2
#pragma GCC pop_options

bool has_avx2() {
  static const bool yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
  return yes;
}

template <DType Out, DType In>
void sum(void* out, std::span<const void* const> in, int64_t count) {
  if (has_avx2()) {
    avx2::sum<Out, In>(out, in, count);
  } else {
    portable::sum<Out, In>(out, in, count);
  }
}

template <DType Out>
void sum_into(void* out, std::span<const void* const> in, DType in_dtype, int64_t count) {
  switch (in_dtype) {
    case DType::kFloat32: return sum<Out, DType::kFloat32>(out, in, count);
    case DType::kBFloat16: return sum<Out, DType::kBFloat16>(out, in, count);
    case DType::kFloat16: return sum<Out, DType::kFloat16>(out, in, count);
    case DType::kInt32: break;
  }
  fail("sum over ranks: dtype {} is not supported", name_of(in_dtype));
}

}  // namespace

void sum_in_order(void* out, DType out_dtype, std::span<const void* const> in, DType in_dtype, int64_t count) {
  switch (out_dtype) {
    case DType::kFloat32: return sum_into<DType::kFloat32>(out, in, in_dtype, count);
    case DType::kBFloat16: return sum_into<DType::kBFloat16>(out, in, in_dtype, count);
    case DType::kFloat16: return sum_into<DType::kFloat16>(out, in, in_dtype, count);
    case DType::kInt32: break;
  }
  fail("sum over ranks: dtype {} is not supported", name_of(out_dtype));
}

void convert(void* out, DType out_dtype, const void* in, DType in_dtype, int64_t count) {
  const void* const one[] = {in};
  sum_in_order(out, out_dtype, one, in_dtype, count);
}

}  // namespace lockstep
