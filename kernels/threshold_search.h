// The smallest logit that survives top_k, top_p and min_p, exactly, without sorting, and without one rank knowing all logits.
//
// Both top_k and top_p ask for the smallest value v such that the weight of everything above v is less than a target, where each
// token weighs 1 or its probability. A radix descent finds it, 8 bits at a time from the top: the weights by the next digit of
// the value, added over all ranks, say in which digit v lies. Probabilities are integers, so that sums do not depend on their
// order. min_p needs no logits: its bound lies where the probability over that of the most likely token is min_p.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/ops.h"
#include "kernels/ordered_bits.h"

namespace lockstep {

inline constexpr int32_t kSearchDigits = 4;
inline constexpr int32_t kSearchDigitBits = 8;
inline constexpr int32_t kSearchDigitValues = 1 << kSearchDigitBits;
inline constexpr float kUnitMass = 1099511627776.0f;  // 2^40: the weight of the most likely token

// Of one row; the same on every rank. Values are ordered_bits().
struct ThresholdSearch {
  uint64_t above = 0;   // weight of what is larger than anything with this prefix
  uint64_t target = 0;  // of the current filter
  uint32_t least = 0;   // what the filters so far have left begins here; 0: everything is left
  uint32_t prefix = 0;  // of the value looked for: the digits found so far, zeros below
  float top = 0.0f;     // the largest logit; infinite: there is no distribution to filter
};

LOCKSTEP_HOST_DEVICE bool has_distribution(const ThresholdSearch& search, const SamplingRow& row) {
  return row.temperature > 0.0f && fabsf(search.top) <= 3.402823466e38f;
}
// Whether the row has this filter, and a distribution to filter.
LOCKSTEP_HOST_DEVICE bool searches(const ThresholdSearch& search, const SamplingRow& row, TokenFilter filter) {
  if (!has_distribution(search, row)) return false;
  return filter == TokenFilter::kTopK ? row.top_k > 0 : row.top_p < 1.0f;
}

LOCKSTEP_HOST_DEVICE int32_t digit_shift(int32_t digit) { return (kSearchDigits - 1 - digit) * kSearchDigitBits; }
LOCKSTEP_HOST_DEVICE uint32_t digit_of(uint32_t key, int32_t digit) {
  return key >> digit_shift(digit) & static_cast<uint32_t>(kSearchDigitValues - 1);
}
// Whether a value counts where this digit is looked for.
LOCKSTEP_HOST_DEVICE bool counts_in(const ThresholdSearch& search, uint32_t key, int32_t digit) {
  const uint32_t decided = digit == 0 ? 0 : ~0u << digit_shift(digit - 1);
  return key != 0 && key >= search.least && (key & decided) == search.prefix;
}

// Probability over that of the most likely token.
LOCKSTEP_HOST_DEVICE float relative_probability(float x, float top, float temperature) { return expf((x - top) / temperature); }
LOCKSTEP_HOST_DEVICE uint64_t mass_of(float relative) { return static_cast<uint64_t>(relative * kUnitMass + 0.5f); }

// total: weight of all tokens that are left.
LOCKSTEP_HOST_DEVICE uint64_t target_of(const SamplingRow& row, TokenFilter filter, uint64_t total) {
  if (filter == TokenFilter::kTopK) return static_cast<uint64_t>(row.top_k);
  // Tokens are kept until their sum reaches top_p: those with less than it above them. The first always is.
  const double target = ceil(static_cast<double>(row.top_p) * static_cast<double>(total));
  return target < 1.0 ? 1 : static_cast<uint64_t>(target);
}

// The next digit is known, and the weight of what is larger.
LOCKSTEP_HOST_DEVICE void found_digit(ThresholdSearch& search, uint32_t value, uint64_t above, int32_t digit) {
  search.prefix |= value << digit_shift(digit);
  search.above = above;
  if (digit + 1 < kSearchDigits) return;
  search.least = search.prefix;
  search.prefix = 0;
  search.above = 0;
}

// What min_p keeps: float32 decides but for what lies within its error of the bound.
LOCKSTEP_HOST_DEVICE bool survives_min_p(float x, const ThresholdSearch& search, const SamplingRow& row) {
  const float probability = relative_probability(x, search.top, row.temperature);
  if (fabsf(probability - row.min_p) > 1e-5f * row.min_p) return probability > row.min_p;
  return exp((static_cast<double>(x) - static_cast<double>(search.top)) / static_cast<double>(row.temperature)) >=
         static_cast<double>(row.min_p);
}

// The threshold that all filters leave; for min_p the smallest value that would survive, whether or not a token has it.
LOCKSTEP_HOST_DEVICE float threshold_of(const ThresholdSearch& search, const SamplingRow& row) {
  if (!has_distribution(search, row)) return from_ordered_bits(0);
  if (!(row.min_p > 0.0f)) return from_ordered_bits(search.least);
  uint32_t survives = ordered_bits(search.top), fails = search.least == 0 ? 0 : search.least - 1;
  while (survives - fails > 1) {
    const uint32_t middle = fails + (survives - fails) / 2;
    (survives_min_p(from_ordered_bits(middle), search, row) ? survives : fails) = middle;
  }
  return from_ordered_bits(survives);
}

}  // namespace lockstep
