#include "weights/convert.h"

#include <bit>
#include <cstring>

#include "base/error.h"

namespace lockstep {
namespace {

// The formats as tags: load() gives float32 bits, store() takes them and says whether a finite number became infinite. No
// branches, so that the loop below becomes SIMD code; that is also why base/dtype.h's out-of-line functions do not serve.

constexpr uint32_t kSign = 0x80000000u;
constexpr uint32_t kInfinity = 0x7f800000u;

// condition ? a : b, by masks: a ?: would become a branch, for compilers do not compute floating-point numbers that may go
// unused.
inline uint32_t select(bool condition, uint32_t a, uint32_t b) { return b ^ ((a ^ b) & (0u - static_cast<uint32_t>(condition))); }

struct Float32 {
  using Stored = uint32_t;
  static uint32_t load(Stored x) { return x; }
  static Stored store(uint32_t bits, uint32_t&) { return bits; }
};

struct BFloat16 {
  using Stored = uint16_t;
  static uint32_t load(Stored x) { return static_cast<uint32_t>(x) << 16; }
  static Stored store(uint32_t bits, uint32_t& overflow) {
    const uint32_t magnitude = bits & ~kSign;
    const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    overflow |= static_cast<uint32_t>(magnitude < kInfinity) & static_cast<uint32_t>((rounded & ~kSign) >= kInfinity);
    return static_cast<Stored>(select(magnitude > kInfinity, (bits >> 16) | 0x40u, rounded >> 16));
  }
};

struct Float16 {
  using Stored = uint16_t;
  static uint32_t load(Stored x) {
    const uint32_t shifted = static_cast<uint32_t>(x & 0x7fffu) << 13;
    // Read as float32, the exponent is 112 too small; the product is exact, for subnormal numbers too.
    const uint32_t scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(shifted) * 0x1p112f);
    const uint32_t magnitude = select(shifted >= 0x0f800000u, shifted | kInfinity, scaled);
    return magnitude | static_cast<uint32_t>(x & 0x8000u) << 16;
  }
  static Stored store(uint32_t bits, uint32_t& overflow) {
    const uint32_t magnitude = bits & ~kSign;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    // Below 2^-14 float16 counts in units of 2^-24, which are the last bit of a float32 just above 1/2.
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t finite = select(magnitude < 0x38800000u, subnormal, normal);
    const uint32_t infinite = select(magnitude > kInfinity, 0x7e00u, 0x7c00u);
    const bool too_large = magnitude >= 0x477ff000u;  // rounds to infinity
    overflow |= static_cast<uint32_t>(too_large) & static_cast<uint32_t>(magnitude < kInfinity);
    return static_cast<Stored>(select(too_large, infinite, finite) | ((bits >> 16) & 0x8000u));
  }
};

constexpr int64_t kBlock = 64;  // a constant trip count: compilers vectorize it even at -O2

template <typename From, typename To>
uint32_t convert_block(const typename From::Stored* __restrict in, typename To::Stored* __restrict out) {
  uint32_t overflow = 0;
  for (int64_t i = 0; i < kBlock; ++i) out[i] = To::store(From::load(in[i]), overflow);
  return overflow;
}

template <typename From, typename To>
bool convert_run(const void* from, void* to, int64_t count) {
  const auto* in = static_cast<const typename From::Stored*>(from);
  auto* out = static_cast<typename To::Stored*>(to);
  uint32_t overflow = 0;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) overflow |= convert_block<From, To>(in + i, out + i);
  for (; i < count; ++i) out[i] = To::store(From::load(in[i]), overflow);
  return overflow == 0;
}

template <typename From>
bool convert_from(const void* from, void* to, DType to_dtype, int64_t count) {
  switch (to_dtype) {
    case DType::kFloat32: return convert_run<From, Float32>(from, to, count);
    case DType::kBFloat16: return convert_run<From, BFloat16>(from, to, count);
    case DType::kFloat16: return convert_run<From, Float16>(from, to, count);
    case DType::kInt32: break;
  }
  fail("weights cannot be converted to {}", name_of(to_dtype));
}

}  // namespace

bool convert(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t count) {
  if (count == 0) return true;
  if (from_dtype == to_dtype) {
    std::memcpy(to, from, static_cast<size_t>(count) * size_of(to_dtype));
    return true;
  }
  switch (from_dtype) {
    case DType::kFloat32: return convert_from<Float32>(from, to, to_dtype, count);
    case DType::kBFloat16: return convert_from<BFloat16>(from, to, to_dtype, count);
    case DType::kFloat16: return convert_from<Float16>(from, to, to_dtype, count);
    case DType::kInt32: break;
  }
  fail("weights cannot be converted from {}", name_of(from_dtype));
}

}  // namespace lockstep
