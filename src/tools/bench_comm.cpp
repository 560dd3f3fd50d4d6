#include "tools/bench_comm.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "comm/communicator.h"
#include "engine/open_device.h"
#include "kernels/backend.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

struct Row {
  int64_t bytes = 0;
  double us = 0.0;
  int64_t wrong = 0;  // elements, of all ranks
};

// Small integers, different on every rank, whose sum float32 holds exactly.
float contribution(int64_t i, int rank) { return static_cast<float>((i * 7 + rank * 3) % 61 - 30); }

class Bench {
 public:
  Bench(const World& world, Backend& backend, Communicator& communicator)
      : world_(world), backend_(backend), comm_(communicator) {}

  Row measure(int64_t bytes, int repeats) {
    const int64_t count = std::max<int64_t>(bytes / 4, 1);
    const auto size = static_cast<size_t>(count) * 4;
    const Buffer data(backend_, size, "bench comm: message");
    const TensorView x(data.data(), DType::kFloat32, 1, count);
    Row row{static_cast<int64_t>(size)};
    row.wrong = count_wrong(x);

    // On zeros, so that repeated sums stay finite. Calls follow each other as in a forward pass; a device is waited for once a
    // batch.
    backend_.set_zero(data.data(), size);
    const int batch = size <= (1u << 20) ? 20 : 2;
    std::vector<double> times;
    for (int i = -1; i < repeats; ++i) {  // the first is for warming up
      backend_.synchronize();
      world_.barrier("bench comm");
      const auto start = Clock::now();
      for (int j = 0; j < batch; ++j) comm_.all_reduce(x);
      backend_.synchronize();
      const std::chrono::duration<double, std::micro> time = Clock::now() - start;
      if (i >= 0) times.push_back(time.count() / batch);
    }
    std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2), times.end());
    const auto nanoseconds = static_cast<int64_t>(times[times.size() / 2] * 1e3);
    row.us = static_cast<double>(world_.all_max(nanoseconds, "bench comm: times")) / 1e3;
    return row;
  }

 private:
  int64_t count_wrong(TensorView x) {
    std::vector<float> host(static_cast<size_t>(x.count()));
    for (int64_t i = 0; i < x.count(); ++i) host[static_cast<size_t>(i)] = contribution(i, world_.rank());
    backend_.copy_to_device(x.data, host.data(), x.bytes());
    comm_.all_reduce(x);
    backend_.copy_to_host(host.data(), x.data, x.bytes());
    backend_.synchronize();
    int64_t wrong = 0;
    for (int64_t i = 0; i < x.count(); ++i) {
      float expected = 0.0f;
      for (int r = 0; r < world_.size(); ++r) expected += contribution(i, r);
      wrong += host[static_cast<size_t>(i)] == expected ? 0 : 1;  // NaN is wrong
    }
    int64_t all = 0;
    for (const auto& text : world_.all_gather(std::to_string(wrong), "bench comm: errors")) all += std::stoll(text);
    return all;
  }

  const World& world_;
  Backend& backend_;
  Communicator& comm_;
};

}  // namespace

int run_bench_comm(const World& world, const CommandLine& command_line) {
  const BenchCommOptions& options = command_line.bench_comm;
  EngineOptions engine = command_line.engine;
  engine.threads = 1;  // that which reduces
  const std::unique_ptr<Backend> backend = open_device(world, engine).backend;
  const auto largest = static_cast<size_t>(*std::max_element(options.sizes.begin(), options.sizes.end()));
  const auto communicator = make_communicator(world, *backend, command_line.engine.allreduce, largest, 4096);
  world.barrier("bench comm: start");
  const double own_bandwidth = backend->measure_read_bandwidth();
  const auto bandwidth = static_cast<double>(world.all_min(static_cast<int64_t>(own_bandwidth), "bench comm: bandwidth"));
  const double share = 2.0 * (world.size() - 1) / world.size();
  if (world.is_root()) {
    fmt::print("AllReduce, float32, {} ranks, {}, rank 0 on {}; memory read bandwidth {:.1f} GB/s a rank\n", world.size(),
               communicator->description(), backend->description(), bandwidth / 1e9);
    fmt::print("{:>12} {:>12} {:>11} {:>11} {:>11} {:>8}\n", "bytes", "time us", "algbw GB/s", "busbw GB/s", "floor us", "wrong");
  }
  Bench bench(world, *backend, *communicator);
  bool all_right = true;
  for (const int64_t bytes : options.sizes) {
    const Row row = bench.measure(bytes, options.repeats);
    all_right = all_right && row.wrong == 0;
    if (!world.is_root()) continue;
    const double algorithm = static_cast<double>(row.bytes) / row.us / 1e3;
    fmt::print("{:>12} {:>12.2f} {:>11.3f} {:>11.3f} {:>11.2f} {:>8}\n", row.bytes, row.us, algorithm, algorithm * share,
               static_cast<double>(row.bytes) * share / bandwidth * 1e6, row.wrong);
    std::fflush(stdout);
  }
  return all_right ? 0 : 1;
}

}  // namespace lockstep
