#include "tools/bench_comm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "comm/communicator.h"
#include "engine/open_device.h"
#include "kernels/backend.h"
#include "tools/measure_all_reduce.h"

namespace lockstep {

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
  bool all_right = true;
  for (const int64_t bytes : options.sizes) {
    const AllReduceFigures row = measure_all_reduce(world, *backend, *communicator, bytes, options.repeats);
    all_right = all_right && row.wrong == 0;
    if (!world.is_root()) continue;
    const double algorithm = static_cast<double>(row.bytes) / 1e6 * row.seconds / 1e3;
    fmt::print("{:>12} {:>12.2f} {:>11.3f} {:>11.3f} {:>11.2f} {:>8}\n", row.bytes, 1e6 * row.seconds, algorithm,
               algorithm * share, static_cast<double>(row.bytes) * share / bandwidth * 1e6, row.wrong);
    std::fflush(stdout);
  }
  return all_right ? 0 : 1;
}

}  // namespace lockstep
