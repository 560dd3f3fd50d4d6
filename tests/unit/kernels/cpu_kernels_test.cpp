// The kernels that every op of the CPU is made of, for each instruction set: conversions to the bit, exp, maxima.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace lockstep::test {
namespace {

class CpuKernelsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    kernels_ = &cpu::choose_kernels(GetParam());
    if (std::string(kernels_->isa) != GetParam()) GTEST_SKIP() << "this processor has no " << GetParam();
  }
  const cpu::CpuKernels* kernels_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Cpu, CpuKernelsTest, ::testing::Values("scalar", "avx2", "avx512", "avx512bf16", "amxbf16"),
                         [](const auto& info) { return std::string(info.param); });

// Equal bits, or NaN both.
bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

TEST_P(CpuKernelsTest, WidensEveryHalfExactly) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (const size_t n : {bits.size(), size_t{13}}) {  // whole vectors, and one that ends inside
      const size_t begin = bits.size() - n;
      std::vector<float> out(n, -1.0f);
      kernels_->to_float(out.data(), bits.data() + begin, dtype, static_cast<int64_t>(n));
      for (size_t i = 0; i < n; ++i) {
        const float expected = dtype == DType::kBFloat16 ? bf16_to_float(bits[begin + i]) : f16_to_float(bits[begin + i]);
        ASSERT_TRUE(same(out[i], expected)) << name_of(dtype) << " " << bits[begin + i] << ": " << out[i] << ", expected "
                                            << expected;
      }
    }
  }
}

TEST_P(CpuKernelsTest, NarrowsToNearestEven) {
  std::mt19937 rng(5);
  std::vector<float> in;
  for (int i = 0; i < 200000; ++i) in.push_back(std::bit_cast<float>(static_cast<uint32_t>(rng())));
  for (uint32_t half = 0; half < 0x7c00; ++half) {  // what lies half way between two neighbours, and just beside that
    for (const bool bf16 : {false, true}) {
      const float a = bf16 ? bf16_to_float(static_cast<uint16_t>(half)) : f16_to_float(static_cast<uint16_t>(half));
      const float b = bf16 ? bf16_to_float(static_cast<uint16_t>(half + 1)) : f16_to_float(static_cast<uint16_t>(half + 1));
      const float middle = a + (b - a) / 2;
      for (const float x : {middle, std::nextafter(middle, a), std::nextafter(middle, b), -middle}) in.push_back(x);
    }
  }
  for (const float x : {0.0f, -0.0f, HUGE_VALF, -HUGE_VALF, std::nanf(""), 65504.0f, 65519.99f, 65520.0f, 3.4e38f})
    in.push_back(x);
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    std::vector<uint16_t> out(in.size(), 0xffff);
    kernels_->from_float(out.data(), dtype, in.data(), static_cast<int64_t>(in.size()));
    for (size_t i = 0; i < in.size(); ++i) {
      const bool bf16 = dtype == DType::kBFloat16;
      const uint16_t expected = bf16 ? float_to_bf16(in[i]) : float_to_f16(in[i]);
      const float value = bf16 ? bf16_to_float(out[i]) : f16_to_float(out[i]);
      ASSERT_TRUE(out[i] == expected || (std::isnan(in[i]) && std::isnan(value)))
          << in[i] << " as " << name_of(dtype) << " is " << out[i] << ", expected " << expected;
    }
  }
}

TEST_P(CpuKernelsTest, ExpIsAccurate) {
  const auto exp_of = [&](float x) { return kernels_->sum_exp(&x, 0.0f, 1.0f, 1); };
  double worst = 0.0;
  for (float x = -87.3f; x <= 88.0f; x += 0.00173f)
    worst = std::max(worst, std::abs(exp_of(x) / std::exp(static_cast<double>(x)) - 1.0));
  EXPECT_LT(worst, 3e-7);
  EXPECT_EQ(exp_of(0.0f), 1.0);
  EXPECT_EQ(exp_of(-HUGE_VALF), 0.0);
  EXPECT_LT(exp_of(-88.0f), 1e-37);
  EXPECT_TRUE(std::isnan(exp_of(std::nanf(""))));
}

TEST_P(CpuKernelsTest, SumExpAndItsNaN) {
  std::mt19937 rng(6);
  for (const size_t n : {1u, 15u, 16u, 17u, 513u, 5000u}) {
    std::vector<float> x(n);
    double expected = 0.0;
    for (float& v : x) expected += std::exp((static_cast<double>(v = -static_cast<float>(rng() % 1000) / 100.0f) - 0.5) * 0.7);
    EXPECT_NEAR(kernels_->sum_exp(x.data(), 0.5f, 0.7f, static_cast<int64_t>(n)) / expected, 1.0, 1e-6);
    x.push_back(std::nanf(""));
    EXPECT_TRUE(std::isnan(kernels_->sum_exp(x.data(), 0.5f, 0.7f, static_cast<int64_t>(n + 1))));
  }
}

TEST_P(CpuKernelsTest, BlockMaximaIgnoreNaN) {
  std::mt19937 rng(7);
  for (const int64_t n : {1, 63, 64, 65, 200, 1000}) {
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = rng() % 5 == 0 ? std::nanf("") : static_cast<float>(rng() % 2000) - 1000.0f;
    if (n == 65) x[64] = std::nanf("");
    const int64_t blocks = (n + cpu::kMaxBlock - 1) / cpu::kMaxBlock;
    std::vector<float> out(static_cast<size_t>(blocks), std::nanf(""));
    kernels_->block_max(out.data(), x.data(), n);
    for (int64_t b = 0; b < blocks; ++b) {
      float expected = -std::numeric_limits<float>::infinity();
      for (int64_t i = b * cpu::kMaxBlock; i < std::min(n, (b + 1) * cpu::kMaxBlock); ++i) {
        if (x[static_cast<size_t>(i)] > expected) expected = x[static_cast<size_t>(i)];
      }
      EXPECT_EQ(out[static_cast<size_t>(b)], expected) << "block " << b << " of " << n;
    }
  }
}

}  // namespace
}  // namespace lockstep::test
