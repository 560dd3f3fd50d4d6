// What `lockstep bench … --json FILE` has measured, beside what the plan predicts for the same run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plan/memory_plan.h"
#include "plan/report.h"
#include "plan/step_time.h"

namespace lockstep {

struct BenchPoint {
  std::string what;      // "decode, batch 8, context 64"
  double seconds = 0.0;  // measured
  int64_t batch = 0;
  int64_t length = 0;  // decode: the mean context of what was measured; prefill: tokens of each prompt
};

// Bytes that a run reported of rank 0; absent ones are 0.
struct BenchMemory {
  int64_t weights = 0, activations = 0, buffers = 0, kv_cache = 0, kv_tokens = 0;
  int64_t device_total = 0, device_used_before_weights = 0, device_used_before_steps = 0, device_used = 0, cuda_graphs = 0;
};

struct BenchFile {
  std::filesystem::path file;
  std::string benchmark;  // "latency" or "prefill"
  std::string model, dtype;
  std::string device;  // the device's name as CUDA reports it; empty for the CPU
  int ranks = 1;
  RunnerLimits limits;  // zeros where the file has none
  int64_t block_size = 16;
  double gpu_memory_utilization = 0.9;
  BenchMemory memory;
  bool has_memory = false;
  std::vector<BenchPoint> points;
};

// Throws Error naming file, key and value.
BenchFile read_bench_file(const std::filesystem::path& file);

struct BenchComparison {
  struct Row {
    std::string what;
    double predicted = 0.0, measured = 0.0;
    double error() const { return measured > 0.0 ? predicted / measured - 1.0 : 0.0; }
  };
  std::vector<Row> seconds;
  std::vector<Row> bytes;
};

// model: with the file's dtype set; cluster: of at least the file's ranks.
BenchComparison compare(const BenchFile& bench, const PlannedModel& model, const Cluster& cluster);

std::vector<Section> sections_of(const BenchFile& bench, const BenchComparison& comparison, const Cluster& cluster);
nlohmann::ordered_json to_json(const BenchFile& bench, const BenchComparison& comparison);

}  // namespace lockstep
