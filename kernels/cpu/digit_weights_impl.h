// The inner loop of the search for a sampling threshold (kernels/threshold_search.h); see kernels.h.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace lockstep::cpu {
namespace {

typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t BitVec __attribute__((vector_size(kLanes * 4)));

// ordered_bits() of numbers.
inline BitVec ordered_bits_of(Vec x) {
  const auto bits = (IntVec)add(x, zero());
  return (BitVec)bits ^ ((BitVec)(bits >> 31) | 0x80000000u);
}

// mass_of() in two parts, high << 24 | low: rel * 2^16 is cut off, and what is left times 2^24 an integer where high is not 0.
inline void split_mass(Vec relative, IntVec& high, IntVec& low) {
  const Vec scaled = mul(relative, set1(65536.0f));
  high = __builtin_convertvector(scaled, IntVec);
  const Vec rest = mul(sub(scaled, (Vec) __builtin_convertvector(high, Vec)), set1(16777216.0f));
  const Vec half = (Vec)((IntVec)set1(0.5f) & (high == 0));
  low = __builtin_convertvector(add(rest, half), IntVec);
}

// Neighbours go to copies of their own, as an addition to where the last one went would wait for it.
inline void add_weights(const float* x, int64_t n, const DigitWeightsArgs& a) {
  const Vec top = set1(a.top), scale = set1(a.inv_temperature);
  for (int64_t i = 0; i < n; i += kLanes) {
    alignas(64) uint32_t digit[kLanes];
    alignas(64) int32_t high[kLanes], low[kLanes];
    const Vec v = load(x + i);
    const BitVec digits = (ordered_bits_of(v) >> static_cast<uint32_t>(a.shift)) & 255u;
    __builtin_memcpy(digit, &digits, sizeof(digits));
    if (a.of_mass) {
      IntVec h, l;
      split_mass(exp(mul(sub(v, top), scale)), h, l);
      __builtin_memcpy(high, &h, sizeof(h));
      __builtin_memcpy(low, &l, sizeof(l));
    }
    const int64_t count = min64(kLanes, n - i);
    for (int64_t j = 0; j < count; ++j) {
      const uint64_t weight =
          a.of_mass ? (static_cast<uint64_t>(static_cast<uint32_t>(high[j])) << 24) + static_cast<uint32_t>(low[j]) : 1;
      a.weights[(j % kDigitCopies) * kDigitValues + digit[j]] += weight;
    }
  }
}

static void digit_weights(const float* x, int64_t n, const DigitWeightsArgs& a) {
  constexpr int64_t kBatch = 256;
  float chosen[kBatch + 2 * kLanes];
  int64_t num_chosen = 0;
  const Vec lowest = set1(a.lowest), highest = set1(a.highest);
  for (int64_t i = 0; i < n; i += kLanes) {
    if (i + kLanes <= n) {
      num_chosen += pack_between(chosen + num_chosen, load(x + i), lowest, highest);
    } else {
      for (int64_t j = i; j < n; ++j) {
        if (x[j] >= a.lowest && x[j] <= a.highest) chosen[num_chosen++] = x[j];
      }
    }
    if (num_chosen < kBatch && i + kLanes < n) continue;
    store(chosen + num_chosen, zero());  // what the last vector reads beyond the end
    add_weights(chosen, num_chosen, a);
    num_chosen = 0;
  }
}

}  // namespace
}  // namespace lockstep::cpu
