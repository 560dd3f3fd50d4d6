#include "tools/device_rates.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace lockstep {

double measure_gemm_flops(Backend& backend, DType weights) {
  // Square, and large enough to fill the device for a while.
  const bool cuda = backend.kind() == DeviceKind::kCuda;
  const int64_t size = cuda ? 8192 : 1024;
  const int64_t rows = cuda ? 8192 : 256;
  constexpr int kRepeats = 7;
  const DType act = backend.activation_dtype(weights);
  const auto make = [&](DType dtype, int64_t count) {
    return Buffer(backend, static_cast<size_t>(count) * size_of(dtype), "the GEMM probe (--flops-rate makes it unnecessary)");
  };
  const Buffer w = make(weights, size * size);
  const Buffer x = make(act, rows * size);
  const Buffer out = make(act, rows * size);
  Ops& ops = backend.ops();
  const TensorView w_view(w.data(), weights, size, size);
  const TensorView x_view(x.data(), act, rows, size);
  const TensorView out_view(out.data(), act, rows, size);
  // Numbers as in a model: the power that a multiplication takes, and so the clock, depends on its operands.
  ops.fill_random(w_view, 1, 0.03f, 0, 0, size);
  ops.fill_random(x_view, 2, 1.0f, 0, 0, size);
  const double seconds = backend.time_on_device(
      [&] {
        if (!ops.linear_by_library(out_view, x_view, {w_view})) ops.linear(out_view, x_view, {w_view}, {});
      },
      kRepeats);
  return 2.0 * static_cast<double>(rows) * static_cast<double>(size) * static_cast<double>(size) / seconds;
}

std::vector<DeviceRates> measure_rates(const World& world, ModelRunner& runner, double flops) {
  DeviceRates mine;
  world.barrier("the measurement of the device");
  mine.bandwidth = runner.backend().measure_read_bandwidth(runner.weights().data(), runner.weights().bytes());
  world.barrier("the measurement of the device");
  world.phase("measuring the device's arithmetic",
              [&] { mine.flops = flops > 0.0 ? flops : measure_gemm_flops(runner.backend(), runner.weights().dtype()); });
  std::vector<DeviceRates> all;
  for (const std::string& text : world.all_gather(fmt::format("{} {}", mine.bandwidth, mine.flops), "the device's rates")) {
    size_t end = 0;
    const double bandwidth = std::stod(text, &end);
    all.push_back({bandwidth, std::stod(text.substr(end))});
    check(std::isfinite(all.back().bandwidth) && all.back().bandwidth > 0.0 && std::isfinite(all.back().flops) &&
              all.back().flops > 0.0,
          "rank {} measured {} bytes/s and FLOP/s", all.size() - 1, text);
  }
  return all;
}

}  // namespace lockstep
