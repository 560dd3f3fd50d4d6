// The linears that are fused with what comes after them, and the arrays of bookkeeping.
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "unit/kernels/reference.h"

namespace lockstep::test {
namespace {

struct Shape {
  int64_t m, n, k;
};

double epsilon(DType t) { return t == DType::kFloat32 ? 1e-7 : t == DType::kBFloat16 ? 1.0 / 256 : 1.0 / 2048; }

// What the inputs and outputs of a linear are rounded to; one instruction set of the CPU multiplies bfloat16 as such.
double rounding_of(const KernelParam& param, DType act) { return epsilon(param.has_bf16_products() ? param.dtype : act); }

double silu(double x) { return x / (1.0 + std::exp(-x)); }

TEST_P(KernelTest, GatedLinearIsALinearAndSiluMul) {
  for (const auto [m, f, k] : std::vector<Shape>{{1, 32, 64},
                                                 {1, 40, 576},
                                                 {3, 100, 72},
                                                 {8, 33, 128},
                                                 {17, 64, 200},
                                                 {33, 96, 256},
                                                 {64, 300, 64},
                                                 {70, 40, 192},
                                                 {128, 200, 136},
                                                 {190, 264, 72},
                                                 {300, 136, 320},
                                                 {66, 8640, 72},
                                                 {2500, 136, 64}}) {
    for (const bool with_bias : {false, true}) {
      const HostTensor x = operand(m, k), w = random(dtype(), 2 * f, k, 0.5f), bias = random(dtype(), 1, 2 * f);
      const DeviceTensor dx = upload(x), dw = upload(w), db = upload(bias);
      const DeviceTensor out = poisoned(act(), m, f), gate_up = poisoned(act(), m, 2 * f);
      ops().gated_linear(out.view, gate_up.view, dx.view, {dw.view}, with_bias ? db.view : TensorView());
      const Doubles both = linear_reference(x, w, with_bias ? bias : HostTensor{});
      Doubles expected;
      for (int64_t t = 0; t < m; ++t) {
        for (int64_t i = 0; i < f; ++i) {
          expected.push_back(silu(both[static_cast<size_t>(t * 2 * f + i)]) * both[static_cast<size_t>(t * 2 * f + f + i)]);
        }
      }
      // Unfused, gate and up are rounded before they meet.
      const double e = rounding_of(GetParam(), act());
      expect_close(download(out), expected, {1e-4 + 8 * e, 4 * e + 1e-5},
                   fmt::format("gated_linear m={} f={} k={} bias={}", m, f, k, with_bias));
    }
  }
}

TEST_P(KernelTest, LinearAddNormLeavesRowsThatLinearsTake) {
  constexpr float kEps = 1e-5f;
  for (const auto [m, h, k] : std::vector<Shape>{
           {1, 64, 64}, {1, 200, 576}, {3, 576, 72}, {8, 136, 128}, {16, 320, 256}, {17, 64, 192}, {40, 128, 64}, {70, 96, 64}}) {
    for (const bool with_bias : {false, true}) {
      const HostTensor x = operand(m, k), w = random(dtype(), h, k, 0.5f), bias = random(dtype(), 1, h);
      const HostTensor before = random(DType::kFloat32, m, h, 3.0f), norm = random(dtype(), 1, h);
      const HostTensor next = random(dtype(), 48, h, 0.5f);
      const DeviceTensor dx = upload(x), dw = upload(w), db = upload(bias), residual = upload(before), dn = upload(norm),
                         dnext = upload(next);
      const DeviceTensor out = poisoned(act(), m, h), sum = poisoned(act(), m, h), result = poisoned(act(), m, 48),
                         gated = poisoned(act(), m, 24), gate_up = poisoned(act(), m, 48);
      const Rows rows = ops().linear_add_norm(out.view, residual.view, sum.view, dx.view, {dw.view},
                                              with_bias ? db.view : TensorView(), dn.view, kEps);
      ops().linear(result.view, rows, {dnext.view}, TensorView());
      ops().gated_linear(gated.view, gate_up.view, rows, {dnext.view}, TensorView());

      Doubles after = linear_reference(x, w, with_bias ? bias : HostTensor{});
      for (size_t i = 0; i < after.size(); ++i) after[i] += static_cast<double>(before.values[i]);
      Doubles expected(static_cast<size_t>(m * 48), 0.0), expected_gated;
      for (int64_t t = 0; t < m; ++t) {
        double squares = 0.0;
        for (int64_t i = 0; i < h; ++i) squares += after[static_cast<size_t>(t * h + i)] * after[static_cast<size_t>(t * h + i)];
        const double scale = 1.0 / std::sqrt(squares / static_cast<double>(h) + static_cast<double>(kEps));
        for (int64_t n = 0; n < 48; ++n) {
          double product = 0.0;
          for (int64_t i = 0; i < h; ++i) {
            product += after[static_cast<size_t>(t * h + i)] * scale * static_cast<double>(norm.at(0, i)) *
                       static_cast<double>(next.at(n, i));
          }
          expected[static_cast<size_t>(t * 48 + n)] = product;
        }
        for (int64_t n = 0; n < 24; ++n) {
          expected_gated.push_back(silu(expected[static_cast<size_t>(t * 48 + n)]) *
                                   expected[static_cast<size_t>(t * 48 + 24 + n)]);
        }
      }
      const std::string what = fmt::format("linear_add_norm m={} h={} k={} bias={}", m, h, k, with_bias);
      const double e = rounding_of(GetParam(), act());
      // The sum may pass through act on its way to the residual; then each element of a row carries its own rounding.
      expect_close(download(residual), after, {1e-4 + e * std::sqrt(static_cast<double>(k)), 1e-5 + e}, what + ": residual");
      const double spread = 1e-4 + 2 * e * std::sqrt(static_cast<double>(h));
      expect_close(download(result), expected, {spread, 2 * e}, what + ": next linear");
      expect_close(download(gated), expected_gated, {4 * spread, 8 * e + 1e-4}, what + ": next gated linear");
    }
  }
}

TEST_P(KernelTest, ScatterSkipsNegativePlaces) {
  std::vector<int32_t> expected(1000, -7), values;
  std::vector<int64_t> places;
  for (int32_t i = 0; i < 600; ++i) {
    places.push_back(i % 3 == 0 ? -1 : (i * 7) % 1000);
    values.push_back(i);
    if (i % 3 != 0) expected[static_cast<size_t>(places.back())] = i;
  }
  const auto to = upload_array(std::vector<int32_t>(1000, -7));
  const auto p = upload_array(places);
  const auto v = upload_array(values);
  ops().scatter(to.data(), p.data(), v.data(), 600);
  ops().scatter(to.data(), p.data(), v.data(), 0);
  EXPECT_EQ(download_array(to.data(), 1000), expected);
}

TEST_P(KernelTest, BatchInvariantLinearsDoNotSeeOtherRows) {
  if (backend().kind() != DeviceKind::kCuda) GTEST_SKIP() << "the CPU's linears are held to this in cpu_test.cpp";
  const std::unique_ptr<Backend> invariant = make_cuda_backend(0, /*batch_invariant=*/true);
  for (const auto [m, n, k] : std::vector<Shape>{{150, 96, 3712}, {150, 48, 200}, {70, 33, 64}}) {
    const DeviceTensor x = upload(operand(m, k)), w = upload(random(dtype(), 2 * n, k));
    const DeviceTensor all = poisoned(act(), m, 2 * n), gated_all = poisoned(act(), m, n), gate_up = poisoned(act(), m, 2 * n);
    backend().synchronize();
    invariant->ops().linear(all.view, x.view, {w.view}, TensorView());
    invariant->ops().gated_linear(gated_all.view, gate_up.view, x.view, {w.view}, TensorView());
    invariant->synchronize();
    const HostTensor expected = download(all), expected_gated = download(gated_all);
    for (const auto& [begin, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {5, 3}, {60, 9}, {3, 16}, {20, 40}}) {
      const DeviceTensor part = poisoned(act(), count, 2 * n), gated = poisoned(act(), count, n),
                         scratch = poisoned(act(), count, 2 * n);
      backend().synchronize();
      invariant->ops().linear(part.view, x.view.slice_rows(begin, count), {w.view}, TensorView());
      invariant->ops().gated_linear(gated.view, scratch.view, x.view.slice_rows(begin, count), {w.view}, TensorView());
      invariant->synchronize();
      EXPECT_EQ(download(part).values, expected.rows_of(begin, count).values) << m << " " << n << " " << k << " rows " << begin;
      EXPECT_EQ(download(gated).values, expected_gated.rows_of(begin, count).values) << m << " " << n << " " << k;
    }
  }
}

}  // namespace
}  // namespace lockstep::test
