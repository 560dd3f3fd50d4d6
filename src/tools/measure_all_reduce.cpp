#include "tools/measure_all_reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/ops.h"

namespace lockstep {
namespace {

constexpr float kEps = 1e-6f;
constexpr double kLongBatch = 2e-3;  // calls follow each other for about so long between two looks at the clock, or 50 of them

// Small integers, different on every rank, whose sum float32 holds exactly.
float contribution(int64_t i, int rank) { return static_cast<float>((i * 7 + rank * 3) % 61 - 30); }

}  // namespace

struct AllReduceBench::Message {
  Message(Backend& backend, int64_t hidden_size, const AllReduceWay& w, int64_t bytes) : way(w) {
    dtype = w.norm && backend.kind() == DeviceKind::kCuda ? DType::kBFloat16 : DType::kFloat32;
    const int64_t count = std::max<int64_t>(bytes / static_cast<int64_t>(size_of(dtype)), 1);
    const int64_t cols = w.norm ? std::min(hidden_size, count) : count;
    x = TensorView(w.message, dtype, count / cols, cols);
    if (!w.norm) return;
    out = TensorView(w.message + (x.bytes() + 255) / 256 * 256, dtype, x.rows, cols);
    storage = Buffer(backend, static_cast<size_t>((x.rows + 1) * cols) * sizeof(float), "bench comm: residual");
    residual = TensorView(storage.data(), DType::kFloat32, x.rows, cols);
    weight = TensorView(storage.as<float>() + x.rows * cols, DType::kFloat32, 1, cols);
    backend.set_zero(storage.data(), storage.bytes());
    backend.ops().fill(weight, 1.0f);
  }
  void run(Ops& ops) const {
    if (way.norm) return way.comm->all_reduce_add_norm(ops, x, {out, residual, TensorView{}, weight, kEps});
    way.comm->all_reduce(x);
  }
  const AllReduceWay& way;
  DType dtype;
  TensorView x, out, residual, weight;
  Buffer storage;
};

AllReduceFigures AllReduceBench::measure(const AllReduceWay& way, int64_t bytes) const {
  way.comm->use_algorithm(way.algorithm);
  const Message m(backend_, hidden_size_, way, bytes);
  AllReduceFigures row{bytes};
  row.wrong = way.norm ? count_wrong_norms(m) : count_wrong_sums(m);
  backend_.set_zero(m.x.data, m.x.bytes());  // so that repeated sums stay finite
  world_.barrier("bench comm");
  const double once = slowest(backend_.time_on_device([&] { m.run(backend_.ops()); }, 3));
  const int calls = std::clamp(static_cast<int>(kLongBatch / once), 1, 50);
  world_.barrier("bench comm");
  const auto batch = [&] {
    for (int i = 0; i < calls; ++i) m.run(backend_.ops());
  };
  row.seconds = slowest(backend_.time_on_device(batch, repeats_)) / calls;
  way.comm->use_algorithm(-1);
  return row;
}

double AllReduceBench::slowest(double seconds) const {
  return static_cast<double>(world_.all_max(static_cast<int64_t>(seconds * 1e12), "bench comm: times")) / 1e12;
}

int64_t AllReduceBench::of_all_ranks(int64_t count) const {
  int64_t all = 0;
  for (const auto& text : world_.all_gather(std::to_string(count), "bench comm: errors")) all += std::stoll(text);
  return all;
}

void AllReduceBench::put_contribution(const TensorView& x) const {
  std::vector<std::byte> host(x.bytes());
  for (int64_t i = 0; i < x.count(); ++i) {
    const float value = contribution(i, world_.rank());
    if (x.dtype == DType::kBFloat16) {
      const uint16_t bits = float_to_bf16(value);
      std::memcpy(host.data() + 2 * i, &bits, sizeof(bits));
    } else {
      std::memcpy(host.data() + 4 * i, &value, sizeof(value));
    }
  }
  backend_.copy_to_device(x.data, host.data(), x.bytes());
  backend_.synchronize();
}

float AllReduceBench::expected_sum(int64_t i) const {
  float sum = 0.0f;
  for (int r = 0; r < world_.size(); ++r) sum += contribution(i, r);
  return sum;
}

int64_t AllReduceBench::count_wrong_sums(const Message& m) const {
  put_contribution(m.x);
  m.run(backend_.ops());
  std::vector<float> host(static_cast<size_t>(m.x.count()));
  backend_.copy_to_host(host.data(), m.x.data, m.x.bytes());
  backend_.synchronize();
  int64_t wrong = 0;
  for (int64_t i = 0; i < m.x.count(); ++i) wrong += host[static_cast<size_t>(i)] == expected_sum(i) ? 0 : 1;  // NaN is wrong
  return of_all_ranks(wrong);
}

int64_t AllReduceBench::count_wrong_norms(const Message& m) const {
  put_contribution(m.x);
  m.run(backend_.ops());
  std::vector<std::byte> host(m.out.bytes());
  backend_.copy_to_host(host.data(), m.out.data, m.out.bytes());
  backend_.synchronize();
  int64_t wrong = 0;
  for (int64_t t = 0; t < m.x.rows; ++t) {
    double squares = 0.0;
    for (int64_t c = 0; c < m.x.cols; ++c) squares += std::pow(static_cast<double>(expected_sum(t * m.x.cols + c)), 2);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(m.x.cols) + kEps);
    for (int64_t c = 0; c < m.x.cols; ++c) {
      const int64_t i = t * m.x.cols + c;
      float value = 0.0f;
      if (m.dtype == DType::kBFloat16) {
        uint16_t bits = 0;
        std::memcpy(&bits, host.data() + 2 * i, sizeof(bits));
        value = bf16_to_float(bits);
      } else {
        std::memcpy(&value, host.data() + 4 * i, sizeof(value));
      }
      const double expected = static_cast<double>(expected_sum(i)) * scale;
      const double error = std::abs(static_cast<double>(value) - expected);
      wrong += error <= (m.dtype == DType::kBFloat16 ? 1.0 / 128 : 1e-5) * std::abs(expected) + 1e-6 ? 0 : 1;
    }
  }
  return of_all_ranks(wrong);
}

AllReduceFigures measure_all_reduce(const World& world, Backend& backend, Communicator& communicator, int64_t bytes,
                                    int repeats) {
  AllReduceWay way;
  way.comm = &communicator;
  way.message = static_cast<std::byte*>(communicator.allocate(backend, static_cast<size_t>(bytes), "measuring the AllReduce"));
  return AllReduceBench(world, backend, 1, repeats).measure(way, bytes);
}

}  // namespace lockstep
