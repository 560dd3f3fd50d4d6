#include "tools/bench_comm.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/device_communicator.h"
#include "config/model_config.h"
#include "config/model_files.h"
#include "engine/open_device.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "tools/bench_run.h"

namespace lockstep {
namespace {

// A transport, and one of its ways to do an AllReduce; with `norm`, what follows it in a model is part of it.
struct Way {
  Communicator* comm = nullptr;
  int algorithm = -1;
  bool norm = false;
  std::string name;
  size_t max_bytes = SIZE_MAX;
  std::byte* message = nullptr;  // memory of the transport, in the same place on every rank
};

struct Row {
  int64_t bytes = 0;
  std::string way;
  double seconds = 0.0;
  int64_t wrong = 0;  // elements, of all ranks
};

constexpr float kEps = 1e-6f;
constexpr double kLongBatch = 2e-3;  // calls follow each other for about so long between two looks at the clock, or 50 of them

// Small integers, different on every rank, whose sum float32 holds exactly.
float contribution(int64_t i, int rank) { return static_cast<float>((i * 7 + rank * 3) % 61 - 30); }

class CommBench {
 public:
  CommBench(const World& world, Backend& backend, int64_t hidden_size, int repeats)
      : world_(world), backend_(backend), hidden_size_(hidden_size), repeats_(repeats) {}

  // Collective. The slowest rank's median.
  Row measure(const Way& way, int64_t bytes) {
    way.comm->use_algorithm(way.algorithm);
    const Message m(backend_, *this, way, bytes);
    Row row{bytes, way.name};
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

 private:
  struct Message {
    Message(Backend& backend, const CommBench& bench, const Way& w, int64_t bytes) : way(w) {
      dtype = w.norm && backend.kind() == DeviceKind::kCuda ? DType::kBFloat16 : DType::kFloat32;
      const int64_t count = std::max<int64_t>(bytes / static_cast<int64_t>(size_of(dtype)), 1);
      const int64_t cols = w.norm ? std::min(bench.hidden_size_, count) : count;
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
    const Way& way;
    DType dtype;
    TensorView x, out, residual, weight;
    Buffer storage;
  };

  double slowest(double seconds) {
    return static_cast<double>(world_.all_max(static_cast<int64_t>(seconds * 1e12), "bench comm: times")) / 1e12;
  }
  int64_t of_all_ranks(int64_t count) {
    int64_t all = 0;
    for (const auto& text : world_.all_gather(std::to_string(count), "bench comm: errors")) all += std::stoll(text);
    return all;
  }
  void put_contribution(const TensorView& x) {
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
  float expected_sum(int64_t i) const {
    float sum = 0.0f;
    for (int r = 0; r < world_.size(); ++r) sum += contribution(i, r);
    return sum;
  }

  int64_t count_wrong_sums(const Message& m) {
    put_contribution(m.x);
    m.run(backend_.ops());
    std::vector<float> host(static_cast<size_t>(m.x.count()));
    backend_.copy_to_host(host.data(), m.x.data, m.x.bytes());
    backend_.synchronize();
    int64_t wrong = 0;
    for (int64_t i = 0; i < m.x.count(); ++i) wrong += host[static_cast<size_t>(i)] == expected_sum(i) ? 0 : 1;  // NaN is wrong
    return of_all_ranks(wrong);
  }

  int64_t count_wrong_norms(const Message& m) {
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

  const World& world_;
  Backend& backend_;
  int64_t hidden_size_;
  int repeats_;
};

// The transports that can be had: both on CUDA unless one was asked for.
std::vector<std::unique_ptr<Communicator>> open_transports(const World& world, Backend& backend, AllReduceChoice choice,
                                                           size_t largest) {
  std::vector<std::unique_ptr<Communicator>> all;
  const bool both = choice == AllReduceChoice::kAuto && backend.kind() == DeviceKind::kCuda && world.size() > 1;
  for (const AllReduceChoice one : both ? std::vector{AllReduceChoice::kPeer, AllReduceChoice::kNccl} : std::vector{choice}) {
    try {
      all.push_back(make_communicator(world, backend, one, largest, 4096));
    } catch (const Error& e) {
      if (!both || (one == AllReduceChoice::kNccl && all.empty())) throw;
      if (world.is_root()) spdlog::warn("left out: {}", e.what());
    }
  }
  return all;
}

std::vector<Way> ways_of(Backend& backend, const std::vector<std::unique_ptr<Communicator>>& transports, size_t largest) {
  std::vector<Way> all;
  for (const auto& comm : transports) {
    auto* const message = static_cast<std::byte*>(comm->allocate(backend, 2 * largest + 512, "bench comm: messages"));
    const std::string transport = comm->description().substr(0, comm->description().find_first_of(" ("));
    const auto algorithms = comm->algorithms();
    for (const bool norm : {false, true}) {
      const std::string suffix = norm ? " + norm" : "";
      for (int i = 0; i < static_cast<int>(algorithms.size()); ++i) {
        const Communicator::Algorithm& algorithm = algorithms[static_cast<size_t>(i)];
        all.push_back({comm.get(), i, norm, transport + ' ' + algorithm.name + suffix, algorithm.max_bytes, message});
      }
      if (algorithms.empty()) all.push_back({comm.get(), -1, norm, transport + suffix, SIZE_MAX, message});
    }
  }
  return all;
}

void print_row(const Row& row, double floor, double share) {
  const double algorithm = static_cast<double>(row.bytes) / row.seconds / 1e9;
  fmt::print("{:>10}  {:<22} {:>10.2f} {:>11.2f} {:>11.2f} {:>9.2f} {:>7}\n", row.bytes, row.way, row.seconds * 1e6, algorithm,
             algorithm * share, floor * 1e6, row.wrong);
  std::fflush(stdout);
}

}  // namespace

int run_bench_comm(const World& world, const CommandLine& command_line) {
  const BenchCommOptions& options = command_line.bench_comm;
  EngineOptions engine = command_line.engine;
  engine.threads = 1;  // that which reduces
  std::vector<int64_t> sizes = options.sizes;
  int64_t hidden_size = options.hidden_size, num_layers = 0;
  if (!engine.model.empty()) {
    world.phase("reading the model's configuration", [&] {
      const ModelConfig config = load_model_config(find_model(engine.model));
      hidden_size = config.hidden_size;
      num_layers = config.num_layers;
    });
    sizes.clear();
    for (const int64_t tokens : options.tokens) sizes.push_back(tokens * hidden_size * 2);
  }
  const std::unique_ptr<Backend> backend = open_device(world, engine).backend;
  const auto largest = static_cast<size_t>(*std::max_element(sizes.begin(), sizes.end()));
  const auto transports = open_transports(world, *backend, engine.allreduce, largest);
  const std::vector<Way> ways = ways_of(*backend, transports, largest);
  world.barrier("bench comm: start");
  const double own_bandwidth = backend->measure_read_bandwidth();
  const auto bandwidth = static_cast<double>(world.all_min(static_cast<int64_t>(own_bandwidth), "bench comm: bandwidth"));
  const double share = 2.0 * (world.size() - 1) / world.size();
  if (world.is_root()) {
    for (const auto& comm : transports) fmt::print("{}\n", comm->description());
    fmt::print("AllReduce, {} ranks, rank 0 on {}; memory read bandwidth {:.1f} GB/s a rank; with norm: rows of {}\n",
               world.size(), backend->description(), bandwidth / 1e9, hidden_size);
    fmt::print("{:>10}  {:<22} {:>10} {:>11} {:>11} {:>9} {:>7}\n", "bytes", "way", "time us", "algbw GB/s", "busbw GB/s",
               "floor us", "wrong");
  }
  CommBench bench(world, *backend, hidden_size, options.repeats);
  bool all_right = true;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const int64_t bytes : sizes) {
    for (const Way& way : ways) {
      if (static_cast<size_t>(bytes) > way.max_bytes) continue;
      const Row row = bench.measure(way, bytes);
      all_right = all_right && row.wrong == 0;
      if (!world.is_root()) continue;
      const double floor = static_cast<double>(row.bytes) * share / bandwidth;
      print_row(row, floor, share);
      rows.push_back(
          {{"bytes", bytes}, {"way", row.way}, {"seconds", row.seconds}, {"floor_seconds", floor}, {"wrong", row.wrong}});
      if (num_layers == 0) continue;
      const double step = 2.0 * static_cast<double>(num_layers) * row.seconds;
      rows.back()["tokens"] = bytes / (2 * hidden_size);
      rows.back()["seconds_per_step"] = step;
      fmt::print("{:>10}  a step of {} tokens of {} layers: {:.3f} ms\n", "", bytes / (2 * hidden_size), num_layers, step * 1e3);
    }
  }
  if (world.is_root()) {
    nlohmann::ordered_json results = {
        {"benchmark", "comm"},         {"ranks", world.size()},      {"device", backend->description()},
        {"read_bandwidth", bandwidth}, {"hidden_size", hidden_size}, {"rows", rows}};
    if (!engine.model.empty()) results["model"] = engine.model;
    write_results(options.json, results);
  }
  return all_right ? 0 : 1;
}

}  // namespace lockstep
