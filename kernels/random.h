// Counter-based random numbers, the same on every backend: a value depends on its key alone, never on who asks or when.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace lockstep {

// splitmix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
LOCKSTEP_HOST_DEVICE uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// Uniform in (0, 1), never 0 or 1: (k + 1/2) * 2^-23 is exact in float32.
LOCKSTEP_HOST_DEVICE float unit_open(uint64_t bits) { return (static_cast<float>(bits >> 41) + 0.5f) * (1.0f / 8388608.0f); }

// Key of the noise of one (sequence, output position, token).
LOCKSTEP_HOST_DEVICE float sample_uniform(uint64_t seed, int32_t output_index, int32_t token) {
  const uint64_t stream = mix64(seed ^ mix64(static_cast<uint64_t>(static_cast<uint32_t>(output_index))));
  return unit_open(mix64(stream ^ static_cast<uint64_t>(static_cast<uint32_t>(token)) * 0xd1342543de82ef95ull));
}

// Uniform in [-scale, scale): element `index` of the tensor with this seed.
LOCKSTEP_HOST_DEVICE float dummy_weight(uint64_t seed, uint64_t index, float scale) {
  return (2.0f * unit_open(mix64(seed ^ mix64(index))) - 1.0f) * scale;
}

}  // namespace lockstep
