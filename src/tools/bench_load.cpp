#include "tools/bench_load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "config/model_config.h"
#include "engine/open_device.h"
#include "partition/partition.h"
#include "tools/bench_run.h"
#include "tools/version.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

namespace lockstep {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

// Bytes and seconds of every rank in one measurement.
struct Measurement {
  std::vector<int64_t> bytes;
  std::vector<double> seconds;

  double rate(size_t rank) const { return static_cast<double>(bytes[rank]) / std::max(seconds[rank], 1e-9); }
  // All bytes over the time of the slowest rank.
  double total_rate() const {
    double sum = 0.0;
    for (const int64_t b : bytes) sum += static_cast<double>(b);
    return sum / std::max(*std::max_element(seconds.begin(), seconds.end()), 1e-9);
  }
};

struct Results {
  Measurement floor;   // the same reads, nothing kept
  Measurement memory;  // writing as many bytes of new memory, nothing read
  Measurement load;
};

class LoadBench {
 public:
  LoadBench(const World& world, const ModelConfig& config, const BenchLoadOptions& options, DType dtype, Backend& backend)
      : world_(world),
        config_(config),
        options_(options),
        dtype_(dtype),
        backend_(backend),
        partition_(make_partition(config, world.size(), world.rank())) {}

  // The best of each kind over all repeats, by the rate of all ranks together.
  Results run() {
    Results best;
    for (int32_t i = 0; i <= options_.repeats; ++i) {
      const bool counts = i > 0 || options_.cold;  // the first brings the files into the page cache
      keep_best(best.floor, measure([&] { return read_tensors(partition_, *open_safetensors(config_.weights), dtype_); }),
                counts);
      keep_best(best.load, measure([&] {
                  Weights weights(backend_, partition_, dtype_);
                  return load_checkpoint(weights, partition_, config_.weights, backend_, {});
                }),
                counts);
      if (backend_.kind() == DeviceKind::kCpu) keep_best(best.memory, measure([&] { return touch(); }), counts);
    }
    return best;
  }

 private:
  static void keep_best(Measurement& best, Measurement next, bool counts) {
    if (counts && (best.bytes.empty() || next.total_rate() > best.total_rate())) best = std::move(next);
  }

  // All ranks at once.
  template <typename Fn>
  Measurement measure(Fn fn) {
    if (options_.cold) {
      world_.phase("dropping the files from the page cache", [&] { drop_cache(); });
    }
    world_.barrier("bench load");
    LoadReport report;
    world_.phase("reading the weights", [&] { report = fn(); });
    Measurement result;
    for (const std::string& text : world_.all_gather(fmt::format("{} {:.9f}", report.bytes_read, report.seconds), "bench load")) {
      const size_t blank = text.find(' ');
      result.bytes.push_back(std::stoll(text.substr(0, blank)));
      result.seconds.push_back(std::stod(text.substr(blank)));
    }
    return result;
  }

  // What first writing to the memory of the weights costs by itself: the kernel clears each page.
  LoadReport touch() {
    LoadReport report;
    const Weights weights(backend_, partition_, dtype_);
    const auto start = BenchClock::now();
    backend_.set_zero(const_cast<void*>(weights.data()), weights.bytes());
    report.seconds = seconds_between(start, BenchClock::now());
    report.bytes_read = static_cast<int64_t>(weights.bytes());
    return report;
  }

  // Written pages that are not on the disk yet stay; others go, for every process. Needs no privilege.
  void drop_cache() const {
    if (world_.local_rank() != 0) return;
    for (const auto& entry : std::filesystem::directory_iterator(config_.weights)) {
      if (entry.path().extension() != ".safetensors") continue;
      const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      check(file >= 0, "{}: cannot be opened: {}", entry.path().string(), std::strerror(errno));
      ::fdatasync(file);
      const int error = ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      ::close(file);
      check(error == 0, "{}: the kernel does not drop it from the page cache: {}", entry.path().string(), std::strerror(error));
    }
  }

  const World& world_;
  const ModelConfig& config_;
  const BenchLoadOptions& options_;
  DType dtype_;
  Backend& backend_;
  Partition partition_;
};

void print(const Results& r, bool cold) {
  const bool has_memory = !r.memory.bytes.empty();
  fmt::print("{:>6} {:>12} {:>10} {:>12} {:>12} {:>9} {:>14}\n", "rank", "MiB", "load s", "load GB/s",
             cold ? "disk GB/s" : "cache GB/s", "of it", has_memory ? "clearing GB/s" : "");
  const auto line = [&](const std::string& name, double bytes, double seconds, double rate, double floor, double memory) {
    fmt::print("{:>6} {:>12.1f} {:>10.3f} {:>12.2f} {:>12.2f} {:>8.0f}% {:>14}\n", name, bytes / kMiB, seconds, rate / 1e9,
               floor / 1e9, 100.0 * rate / floor, has_memory ? fmt::format("{:.2f}", memory / 1e9) : "");
  };
  double bytes = 0.0;
  for (size_t i = 0; i < r.load.bytes.size(); ++i) {
    bytes += static_cast<double>(r.load.bytes[i]);
    line(std::to_string(i), static_cast<double>(r.load.bytes[i]), r.load.seconds[i], r.load.rate(i), r.floor.rate(i),
         has_memory ? r.memory.rate(i) : 0.0);
  }
  line("all", bytes, *std::max_element(r.load.seconds.begin(), r.load.seconds.end()), r.load.total_rate(), r.floor.total_rate(),
       has_memory ? r.memory.total_rate() : 0.0);
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Measurement& m) {
  if (m.bytes.empty()) return nullptr;
  return {{"bytes", m.bytes}, {"seconds", m.seconds}, {"bytes_per_second", m.total_rate()}};
}

}  // namespace

int run_bench_load(const World& world, const CommandLine& command_line) {
  const BenchLoadOptions& options = command_line.bench_load;
  EngineOptions engine;
  ModelConfig config;
  DType dtype = DType::kFloat32;
  world.phase("reading the model's configuration", [&] {
    engine = resolve_engine_options(command_line);
    config = load_model_config(engine.model, engine.max_model_len);
    check(!config.weights.empty(), "{}: names no weights; `bench load` needs a checkpoint", engine.model);
    dtype = engine.dtype == "auto" ? config.dtype : dtype_from_name(engine.dtype);
  });
  const std::unique_ptr<Backend> backend = open_device(world, engine).backend;
  const Results results = LoadBench(world, config, options, dtype, *backend).run();
  if (!world.is_root()) return 0;
  fmt::print("{} rank{} on {}; {} into {}; best of {}\n", world.size(), world.size() == 1 ? "" : "s", backend->description(),
             config.weights.string(), name_of(dtype), options.repeats);
  print(results, options.cold);
  nlohmann::ordered_json json = {{"benchmark", "load"},
                                 {"lockstep", build_id()},
                                 {"model", engine.model},
                                 {"dtype", name_of(dtype)},
                                 {"device", backend->description()},
                                 {"ranks", world.size()},
                                 {"cold", options.cold},
                                 {"load", to_json(results.load)},
                                 {"floor", to_json(results.floor)},
                                 {"memory", to_json(results.memory)}};
  write_results(options.json, json);
  return 0;
}

}  // namespace lockstep
