// Inputs of collectives whose sums every dtype holds exactly, so that results are compared bit for bit.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"

namespace lockstep {

// Element i of rank r in round `seed`: an integer in [-8, 8]; sums over up to 16 ranks stay within bfloat16's exact integers.
inline float small_integer(int64_t i, int rank, uint32_t seed) {
  uint32_t x = static_cast<uint32_t>(i) * 2654435761u + static_cast<uint32_t>(rank) * 40503u + seed * 2246822519u;
  x ^= x >> 15;
  x *= 2246822519u;
  x ^= x >> 13;
  return static_cast<float>(static_cast<int>(x % 17u) - 8);
}

inline uint32_t bits_as(DType t, float x) {
  if (t == DType::kBFloat16) return float_to_bf16(x);
  if (t == DType::kFloat16) return float_to_f16(x);
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}

inline void put(void* data, DType t, int64_t i, float x) {
  const uint32_t bits = bits_as(t, x);
  __builtin_memcpy(static_cast<char*>(data) + static_cast<size_t>(i) * size_of(t), &bits, size_of(t));
}

inline uint32_t get_bits(const void* data, DType t, int64_t i) {
  uint32_t bits = 0;
  __builtin_memcpy(&bits, static_cast<const char*>(data) + static_cast<size_t>(i) * size_of(t), size_of(t));
  return bits;
}

inline float value_of(const void* data, DType t, int64_t i) {
  const uint32_t bits = get_bits(data, t, i);
  if (t == DType::kBFloat16) return bf16_to_float(static_cast<uint16_t>(bits));
  if (t == DType::kFloat16) return f16_to_float(static_cast<uint16_t>(bits));
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

// The first element that differs from the sum over `ranks`, or -1.
inline int64_t first_wrong_sum(const void* data, DType t, int64_t count, int ranks, uint32_t seed) {
  for (int64_t i = 0; i < count; ++i) {
    float expected = 0.0f;
    for (int r = 0; r < ranks; ++r) expected += small_integer(i, r, seed);
    if (get_bits(data, t, i) != bits_as(t, expected)) return i;
  }
  return -1;
}

}  // namespace lockstep
