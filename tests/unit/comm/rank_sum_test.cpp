// The sum over ranks against the definition: float32 additions from left to right, one rounding at the end.
#include "comm/rank_sum.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace lockstep {
namespace {

float read(const void* data, DType t, size_t i) {
  uint32_t bits = 0;
  std::memcpy(&bits, static_cast<const std::byte*>(data) + i * size_of(t), size_of(t));
  if (t == DType::kBFloat16) return bf16_to_float(static_cast<uint16_t>(bits));
  if (t == DType::kFloat16) return f16_to_float(static_cast<uint16_t>(bits));
  return std::bit_cast<float>(bits);
}

uint32_t bits_of(float x, DType t) {
  if (t == DType::kBFloat16) return float_to_bf16(x);
  if (t == DType::kFloat16) return float_to_f16(x);
  return std::bit_cast<uint32_t>(x);
}

class RankSum : public testing::TestWithParam<std::tuple<DType, DType, int>> {};

TEST_P(RankSum, EqualsTheDefinitionBitForBit) {
  const auto [in_type, out_type, ranks] = GetParam();
  std::mt19937 random(17 + static_cast<unsigned>(ranks));
  std::normal_distribution<float> normal(0.0f, 100.0f);
  for (const size_t count : {1u, 2u, 15u, 16u, 17u, 31u, 32u, 33u, 63u, 100u, 1023u}) {
    std::vector<std::vector<std::byte>> inputs(static_cast<size_t>(ranks));
    std::vector<const void*> parts;
    for (auto& input : inputs) {
      input.resize(count * size_of(in_type));
      for (size_t i = 0; i < count; ++i) {
        const uint32_t bits = bits_of(normal(random), in_type);
        std::memcpy(input.data() + i * size_of(in_type), &bits, size_of(in_type));
      }
      parts.push_back(input.data());
    }
    const size_t out_bytes = count * size_of(out_type);
    std::vector<std::byte> out(out_bytes + 64, std::byte{0xcd});
    sum_in_order(out.data(), out_type, parts, in_type, static_cast<int64_t>(count));
    for (size_t i = 0; i < count; ++i) {
      float expected = read(parts[0], in_type, i);
      for (size_t r = 1; r < parts.size(); ++r) expected += read(parts[r], in_type, i);
      ASSERT_EQ(bits_of(read(out.data(), out_type, i), out_type), bits_of(expected, out_type))
          << "element " << i << " of " << count;
    }
    for (size_t i = out_bytes; i < out.size(); ++i) ASSERT_EQ(out[i], std::byte{0xcd}) << "written past the end, count " << count;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RankSum,
                         testing::Combine(testing::Values(DType::kFloat32, DType::kBFloat16, DType::kFloat16),
                                          testing::Values(DType::kFloat32, DType::kBFloat16, DType::kFloat16),
                                          testing::Values(1, 2, 3, 8)));

TEST(RankSumSpecials, NanInfinityAndInPlace) {
  for (const DType t : {DType::kBFloat16, DType::kFloat16}) {
    const auto put = [&](float x) { return static_cast<uint16_t>(bits_of(x, t)); };
    std::vector<uint16_t> a = {put(NAN), put(INFINITY), put(INFINITY), put(65504.0f), put(-0.0f)};
    const std::vector<uint16_t> b = {put(1.0f), put(1.0f), put(-INFINITY), put(65504.0f), put(-0.0f)};
    const void* parts[] = {a.data(), b.data()};
    sum_in_order(a.data(), t, parts, t, static_cast<int64_t>(a.size()));
    EXPECT_TRUE(std::isnan(read(a.data(), t, 0)));
    EXPECT_EQ(read(a.data(), t, 1), INFINITY);
    EXPECT_TRUE(std::isnan(read(a.data(), t, 2)));
    EXPECT_EQ(read(a.data(), t, 3), t == DType::kFloat16 ? INFINITY : 131072.0f);
    EXPECT_TRUE(std::signbit(read(a.data(), t, 4)));
  }
}

}  // namespace
}  // namespace lockstep
