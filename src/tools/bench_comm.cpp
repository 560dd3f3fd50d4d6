#include "tools/bench_comm.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/device_communicator.h"
#include "comm/nodes.h"
#include "config/model_config.h"
#include "config/model_files.h"
#include "engine/open_device.h"
#include "kernels/backend.h"
#include "tools/bench_run.h"
#include "tools/host_floor.h"
#include "tools/measure_all_reduce.h"

namespace lockstep {
namespace {

// The transports that can be had: all on CUDA unless one was asked for.
std::vector<std::unique_ptr<Communicator>> open_transports(const World& world, Backend& backend, AllReduceChoice choice,
                                                           size_t largest) {
  std::vector<std::unique_ptr<Communicator>> all;
  const bool several = choice == AllReduceChoice::kAuto && backend.kind() == DeviceKind::kCuda && world.size() > 1;
  std::vector<AllReduceChoice> choices{choice};
  if (several) {
    const bool one_host = count_nodes(nodes_as_nccl_sees_them(world)) == 1;
    choices = {one_host ? AllReduceChoice::kPeer : AllReduceChoice::kHierarchical, AllReduceChoice::kNccl};
  }
  for (const AllReduceChoice one : choices) {
    try {
      auto transport = make_communicator(world, backend, one, largest, 4096);
      // Of hosts with a rank each, hierarchical is NCCL.
      if (all.empty() || all.back()->description() != transport->description()) all.push_back(std::move(transport));
    } catch (const Error& e) {
      if (!several || (one == choices.back() && all.empty())) throw;
      if (world.is_root()) spdlog::warn("left out: {}", e.what());
    }
  }
  return all;
}

std::vector<AllReduceWay> ways_of(Backend& backend, const std::vector<std::unique_ptr<Communicator>>& transports,
                                  size_t largest) {
  std::vector<AllReduceWay> all;
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

void print_row(const AllReduceFigures& row, const std::string& way, double floor, double share) {
  const double algorithm = static_cast<double>(row.bytes) / row.seconds / 1e9;
  fmt::print("{:>10}  {:<22} {:>10.2f} {:>11.2f} {:>11.2f} {:>9.2f} {:>7}\n", row.bytes, way, row.seconds * 1e6, algorithm,
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
  if (backend->kind() == DeviceKind::kCpu) log_host_floor(world);
  const auto largest = static_cast<size_t>(*std::max_element(sizes.begin(), sizes.end()));
  const auto transports = open_transports(world, *backend, engine.allreduce, largest);
  const std::vector<AllReduceWay> ways = ways_of(*backend, transports, largest);
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
  AllReduceBench bench(world, *backend, hidden_size, options.repeats);
  bool all_right = true;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const int64_t bytes : sizes) {
    for (const AllReduceWay& way : ways) {
      if (static_cast<size_t>(bytes) > way.max_bytes) continue;
      const AllReduceFigures row = bench.measure(way, bytes);
      all_right = all_right && row.wrong == 0;
      if (!world.is_root()) continue;
      const double floor = static_cast<double>(row.bytes) * share / bandwidth;
      print_row(row, way.name, floor, share);
      rows.push_back(
          {{"bytes", bytes}, {"way", way.name}, {"seconds", row.seconds}, {"floor_seconds", floor}, {"wrong", row.wrong}});
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
