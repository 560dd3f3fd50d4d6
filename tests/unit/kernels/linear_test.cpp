#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "unit/kernels/reference.h"

namespace lockstep::test {
namespace {

struct Shape {
  int64_t m, n, k;
};

TEST_P(KernelTest, LinearAgreesWithDouble) {
  const std::vector<Shape> shapes = {{1, 1, 1},       {1, 5, 7},       {1, 49, 33},    {1, 64, 576},    {2, 49, 576},
                                     {3, 5, 33},      {8, 49, 576},    {17, 49, 33},   {17, 5, 576},    {64, 49, 576},
                                     {64, 1, 7},      {130, 49, 33},   {130, 5, 1},    {130, 49, 576},  {3, 250, 80},
                                     {70, 130, 7},    {1, 16, 1100},   {5, 33, 512},   {66, 31, 513},   {100, 300, 64},
                                     {7, 20, 4100},   {70, 31, 2049},  {66, 264, 136}, {190, 400, 200}, {257, 520, 328},
                                     {66, 17200, 72}, {2500, 136, 64}, {66, 40, 520},  {128, 300, 584}};
  for (const auto [m, n, k] : shapes) {
    for (const bool with_bias : {false, true}) {
      const std::string what = fmt::format("linear m={} n={} k={} bias={}", m, n, k, with_bias);
      const HostTensor x = operand(m, k), w = random(dtype(), n, k), bias = random(dtype(), 1, n);
      const DeviceTensor dx = upload(x), dw = upload(w), db = upload(bias);
      const Doubles expected = linear_reference(x, w, with_bias ? bias : HostTensor{});
      for (const DType out_dtype : {act(), DType::kFloat32}) {
        const DeviceTensor out = poisoned(out_dtype, m, n);
        ops().linear(out.view, dx.view, {dw.view}, with_bias ? db.view : TensorView());
        expect_close(download(out), expected, tolerance_of(out_dtype, 1e-6 * std::sqrt(static_cast<double>(k)) + 1e-6), what);
      }
    }
  }
}

TEST_P(KernelTest, LinearTakesStridedRows) {
  for (const auto [m, n, k] : std::vector<Shape>{{1, 16, 64}, {3, 48, 64}, {90, 48, 64}}) {
    const HostTensor x = operand(m, k), w = random(dtype(), n, k);
    const DeviceTensor dx = upload(x, 24), dw = upload(w), out = poisoned(act(), m, n, 40);
    ops().linear(out.view, dx.view, {dw.view}, TensorView());
    expect_close(download(out), linear_reference(x, w, {}), tolerance_of(act(), 1e-5), fmt::format("strided linear m={}", m));
  }
}

TEST_P(KernelTest, LinearOfEmptyShapes) {
  // K == 0: a rank without heads or FFN columns still has an output to add to the others'.
  for (const int64_t m : {1, 3, 100}) {
    const HostTensor bias = random(dtype(), 1, 12);
    const DeviceTensor x = poisoned(act(), m, 0), w = poisoned(dtype(), 12, 0), db = upload(bias);
    const DeviceTensor plain = poisoned(act(), m, 12), biased = poisoned(act(), m, 12);
    ops().linear(plain.view, x.view, {w.view}, TensorView());
    ops().linear(biased.view, x.view, {w.view}, db.view);
    expect_close(download(plain), Doubles(static_cast<size_t>(m * 12), 0.0), {0.0, 0.0}, "linear with k=0");
    Doubles expected;
    for (int64_t i = 0; i < m; ++i) expected.insert(expected.end(), bias.values.begin(), bias.values.end());
    expect_close(download(biased), expected, tolerance_of(act(), 0.0), "linear with k=0 and a bias");
  }
  const DeviceTensor x = upload(random(act(), 3, 8)), none = poisoned(dtype(), 0, 8), out = poisoned(act(), 3, 0);
  ops().linear(out.view, x.view, {none.view}, TensorView());
  const DeviceTensor no_rows = poisoned(act(), 0, 8), w = upload(random(dtype(), 4, 8)), no_out = poisoned(act(), 0, 4);
  ops().linear(no_out.view, no_rows.view, {w.view}, TensorView());
  backend().synchronize();
}

TEST_P(KernelTest, LinearRefusesOtherShapes) {
  const DeviceTensor x = upload(random(act(), 3, 8)), w = upload(random(dtype(), 5, 7)), out = poisoned(act(), 3, 5);
  EXPECT_THROW(ops().linear(out.view, x.view, {w.view}, TensorView()), Error);
  const DeviceTensor good = upload(random(dtype(), 5, 8)), bias = upload(random(dtype(), 1, 4));
  EXPECT_THROW(ops().linear(out.view, x.view, {good.view}, bias.view), Error);
  const DeviceTensor narrow = poisoned(act(), 3, 4);
  try {
    ops().linear(narrow.view, x.view, {good.view}, TensorView());
    FAIL() << "accepted an output of the wrong shape";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("[3, 4]"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace lockstep::test
