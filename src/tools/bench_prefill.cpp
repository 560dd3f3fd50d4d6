#include "tools/bench_prefill.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/statistics.h"
#include "tools/bench_run.h"

namespace lockstep {
namespace {

using Shape = BenchPrefillOptions::Shape;

struct Row {
  Shape shape;
  std::vector<double> repeats;  // seconds
  double floor_seconds = 0.0;
  double seconds() const { return median(repeats); }
  double tokens() const { return static_cast<double>(shape.batch) * shape.length; }
};

// The floor of the steps into which the scheduler cuts these prompts.
double prefill_floor(const FloorModel& floor, const Shape& shape, int64_t budget) {
  double seconds = 0.0;
  for (const StepShape& step : prefill_steps(shape.batch, shape.length, budget)) seconds += floor.step_seconds(step);
  return seconds;
}

void run_prompts(BenchRun& run, const Shape& shape) {
  for (int32_t i = 0; i < shape.batch; ++i) run.add(run.random_prompt(shape.length), 1);
  run.run_all();
}

Row measure(BenchRun& run, const Shape& shape) {
  Row row{shape};
  for (int32_t repeat = 0; repeat < run.options().repeats + 1; ++repeat) {
    const auto start = BenchClock::now();
    run_prompts(run, shape);
    if (repeat > 0) row.repeats.push_back(seconds_between(start, BenchClock::now()));
  }
  row.floor_seconds = prefill_floor(run.floor(), shape, run.runner().limits().max_num_batched_tokens);
  return row;
}

void print(const Row& row) {
  fmt::print("{:>6} {:>8} {:>11.3f} {:>12.1f} {:>11.3f} {:>9}\n", row.shape.batch, row.shape.length, row.seconds() * 1e3,
             row.tokens() / row.seconds(), row.floor_seconds * 1e3, share_of_floor(row.floor_seconds, row.seconds()));
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Row& row) {
  return {{"batch", row.shape.batch},
          {"length", row.shape.length},
          {"seconds", row.seconds()},
          {"seconds_of_repeats", row.repeats},
          {"tokens_per_second", row.tokens() / row.seconds()},
          {"floor_seconds", row.floor_seconds},
          {"floor_tokens_per_second", row.tokens() / row.floor_seconds},
          {"floor_ratio", row.floor_seconds / row.seconds()}};
}

}  // namespace

int run_bench_prefill(const World& world, const CommandLine& command_line) {
  const std::vector<Shape>& shapes = command_line.bench_prefill.shapes;
  Bench bench;
  bench.name = "prefill";
  bench.workload = [&](const EngineOptions& engine, const ModelConfig&) {
    Workload workload;
    for (const Shape& shape : shapes) {
      check(shape.batch <= engine.max_num_seqs, "a batch of {} is more than --max-num-seqs {}", shape.batch, engine.max_num_seqs);
      const int64_t length = int64_t{shape.length} + 1;
      workload.num_sequences = std::max<int64_t>(workload.num_sequences, shape.batch);
      workload.prompt_tokens = std::max(workload.prompt_tokens, int64_t{shape.batch} * shape.length);
      workload.total_tokens = std::max(workload.total_tokens, shape.batch * length);
      workload.longest = std::max(workload.longest, length);
    }
    return workload;
  };
  bench.measure = [&](BenchRun& run) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    fmt::print("{:>6} {:>8} {:>11} {:>12} {:>11} {:>9}\n", "batch", "length", "time ms", "tokens/s", "floor ms", "of floor");
    for (const Shape& shape : shapes) {
      const Row row = measure(run, shape);
      print(row);
      rows.push_back(to_json(row));
    }
    return nlohmann::ordered_json{{"max_num_batched_tokens", run.runner().limits().max_num_batched_tokens}, {"rows", rows}};
  };
  bench.trace = [&](BenchRun& run, Profile& profile) {
    profile.start();
    run_prompts(run, shapes.back());
    profile.finish();
  };
  return run_bench(world, command_line, command_line.bench_prefill, bench);
}

}  // namespace lockstep
