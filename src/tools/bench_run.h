// What the benchmarks of the engine share: bring the model up, measure the device, run steps, trace some, write the results.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "comm/world.h"
#include "config/command_line.h"
#include "engine/bring_up.h"
#include "engine/engine.h"
#include "engine/profile.h"
#include "tools/floor_model.h"

namespace lockstep {

using BenchClock = std::chrono::steady_clock;
inline double seconds_between(BenchClock::time_point from, BenchClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Rank 0's side of a benchmark.
class BenchRun {
 public:
  // measuring: seconds that the measurement of the device took, which do not count as start-up.
  BenchRun(Engine& engine, ModelRunner& runner, const FloorModel& floor, const BenchOptions& options, double measuring)
      : engine_(engine), runner_(runner), floor_(floor), options_(options), measuring_(measuring) {}

  Engine& engine() { return engine_; }
  ModelRunner& runner() { return runner_; }
  const FloorModel& floor() const { return floor_; }
  const BenchOptions& options() const { return options_; }

  // Queues a prompt that will produce exactly `output_len` tokens.
  int64_t add(std::vector<int32_t> prompt, int32_t output_len);
  // `length` random token ids: the same for every run, others for every call.
  std::vector<int32_t> random_prompt(int64_t length);
  // One step of the engine.
  std::vector<SequenceOutput> step();
  void run_all();  // steps until there is no work

  int64_t num_steps() const { return num_steps_; }  // that had tokens to compute
  std::optional<double> first_token_seconds() const {
    return first_token_seconds_;
  }  // from the start of the process, the measurement of the device left out

 private:
  Engine& engine_;
  ModelRunner& runner_;
  const FloorModel& floor_;
  const BenchOptions& options_;
  double measuring_;
  std::mt19937_64 random_{12345};
  int64_t num_steps_ = 0;
  std::optional<double> first_token_seconds_;
};

struct Bench {
  const char* name;
  // What it will ask of the engine; runs on every rank. Throws Error for what cannot be.
  std::function<Workload(const EngineOptions&, const ModelConfig&)> workload;
  // Runs on rank 0: measures, prints tables to stdout, and returns the results for --json.
  std::function<nlohmann::ordered_json(BenchRun&)> measure;
  // Runs on rank 0 after it, where --profile asks for it: starts and ends the trace. Null: `measure` does it.
  std::function<void(BenchRun&, Profile&)> trace;
};

// Collective. Returns the exit code.
int run_bench(const World& world, const CommandLine& command_line, const BenchOptions& options, const Bench& bench);

// What the results of every benchmark begin with.
nlohmann::ordered_json describe_bench(const char* name, const World& world, ModelRunner& runner, const EngineOptions& engine,
                                      const std::vector<DeviceRates>& rates);
// One line about ranks, device and rates, to stdout.
void print_device(const World& world, Backend& backend, const std::vector<DeviceRates>& rates);
// Throws Error if the file cannot be written. path may be empty: then nothing is.
void write_results(const std::filesystem::path& path, const nlohmann::ordered_json& results);

// "12.3%", or "-" where there is no time.
std::string share_of_floor(double floor_seconds, double seconds);

}  // namespace lockstep
