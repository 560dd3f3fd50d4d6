// Floats as integers in the same order.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/host_device.h"

namespace lockstep {

// NaN becomes 0, below everything else. -0 and +0 are one value.
LOCKSTEP_HOST_DEVICE uint32_t ordered_bits(float x) {
  if (x != x) return 0;
  const float positive_zero = x + 0.0f;
  uint32_t bits = 0;
  memcpy(&bits, &positive_zero, sizeof(bits));
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
// The inverse; 0 and what else is below it becomes -infinity.
LOCKSTEP_HOST_DEVICE float from_ordered_bits(uint32_t key) {
  constexpr uint32_t kMinusInfinity = 0x007fffffu;
  if (key < kMinusInfinity) key = kMinusInfinity;
  const uint32_t bits = (key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key;
  float x = 0.0f;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

}  // namespace lockstep
