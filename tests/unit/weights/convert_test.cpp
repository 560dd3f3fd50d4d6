// Every float16 and bfloat16, and float32 at and around what matters, against the scalar functions of base/dtype.h.
#include "weights/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"

namespace lockstep {
namespace {

std::vector<uint16_t> all_halves() {
  std::vector<uint16_t> all(65536);
  for (uint32_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  return all;
}

TEST(Convert, EveryHalfToFloat) {
  const std::vector<uint16_t> from = all_halves();
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    std::vector<float> to(from.size(), 12345.0f);
    EXPECT_TRUE(convert(from.data(), dtype, to.data(), DType::kFloat32, static_cast<int64_t>(from.size())));
    for (size_t i = 0; i < from.size(); ++i) {
      const float expected = dtype == DType::kFloat16 ? f16_to_float(from[i]) : bf16_to_float(from[i]);
      ASSERT_EQ(std::bit_cast<uint32_t>(to[i]), std::bit_cast<uint32_t>(expected)) << name_of(dtype) << " " << i;
    }
  }
}

// Numbers of every exponent, the borders of rounding, random bits.
std::vector<float> floats() {
  std::vector<float> values;
  for (uint32_t exponent = 0; exponent < 256; ++exponent) {
    for (const uint32_t mantissa : {0x0u, 0x1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu, 0x2000u, 0x3000u, 0x7fffu, 0x8000u, 0x8001u,
                                    0x18000u, 0x7fefffu, 0x7ff000u, 0x7f7fffu, 0x7f8000u, 0x7fffffu, 0x400000u}) {
      for (const uint32_t sign : {0u, 0x80000000u}) values.push_back(std::bit_cast<float>(sign | exponent << 23 | mantissa));
    }
  }
  std::mt19937 random(7);
  for (int i = 0; i < 300000; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  // Where float16 has its subnormal numbers, and ties among them.
  for (int i = 0; i < 4096; ++i) values.push_back(std::ldexp(static_cast<float>(i), -26));
  return values;
}

TEST(Convert, FloatToHalf) {
  const std::vector<float> from = floats();
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    std::vector<uint16_t> to(from.size(), 0x7777);
    (void)convert(from.data(), DType::kFloat32, to.data(), dtype, static_cast<int64_t>(from.size()));
    for (size_t i = 0; i < from.size(); ++i) {
      const uint16_t expected = dtype == DType::kFloat16 ? float_to_f16(from[i]) : float_to_bf16(from[i]);
      ASSERT_EQ(to[i], expected) << name_of(dtype) << " of bits " << std::hex << std::bit_cast<uint32_t>(from[i]);
      // One at a time, the verdict is exact as well.
      if (i % 16 == 0) {
        uint16_t one = 0;
        const bool became_infinite =
            std::isfinite(from[i]) && std::isinf(dtype == DType::kFloat16 ? f16_to_float(expected) : bf16_to_float(expected));
        ASSERT_EQ(convert(&from[i], DType::kFloat32, &one, dtype, 1), !became_infinite) << from[i];
      }
    }
  }
}

TEST(Convert, HalfToOtherHalf) {
  const std::vector<uint16_t> from = all_halves();
  std::vector<uint16_t> to(from.size(), 0x7777);
  EXPECT_TRUE(convert(from.data(), DType::kFloat16, to.data(), DType::kBFloat16, static_cast<int64_t>(from.size())));
  for (size_t i = 0; i < from.size(); ++i) ASSERT_EQ(to[i], float_to_bf16(f16_to_float(from[i]))) << i;
  EXPECT_FALSE(convert(from.data(), DType::kBFloat16, to.data(), DType::kFloat16, static_cast<int64_t>(from.size())));
  for (size_t i = 0; i < from.size(); ++i) ASSERT_EQ(to[i], float_to_f16(bf16_to_float(from[i]))) << i;
}

TEST(Convert, OverflowIsSeenAnywhereInTheRunAndInfinityIsNot) {
  for (const int64_t count : {1, 5, 64, 130}) {
    for (int64_t at = 0; at < count; ++at) {
      std::vector<float> from(count, 1.5f);
      std::vector<uint16_t> to(count);
      from[at] = 65520.0f;  // the smallest that rounds to infinity
      ASSERT_FALSE(convert(from.data(), DType::kFloat32, to.data(), DType::kFloat16, count)) << at << " of " << count;
      from[at] = 65519.0f;
      ASSERT_TRUE(convert(from.data(), DType::kFloat32, to.data(), DType::kFloat16, count));
      from[at] = -std::numeric_limits<float>::infinity();
      ASSERT_TRUE(convert(from.data(), DType::kFloat32, to.data(), DType::kFloat16, count));
      from[at] = std::numeric_limits<float>::max();
      ASSERT_FALSE(convert(from.data(), DType::kFloat32, to.data(), DType::kBFloat16, count));
    }
  }
}

TEST(Convert, SameDtypeCopiesAndInt32IsRefused) {
  const std::vector<float> from = {1.0f, std::numeric_limits<float>::max(), -3.0f};
  std::vector<float> to(3, 0.0f);
  EXPECT_TRUE(convert(from.data(), DType::kFloat32, to.data(), DType::kFloat32, 3));
  EXPECT_EQ(to, from);
  EXPECT_THROW((void)convert(from.data(), DType::kInt32, to.data(), DType::kFloat32, 3), Error);
  EXPECT_THROW((void)convert(from.data(), DType::kFloat32, to.data(), DType::kInt32, 3), Error);
}

}  // namespace
}  // namespace lockstep
