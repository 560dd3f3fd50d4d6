#include "tools/bench_latency.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "engine/bring_up.h"
#include "engine/engine.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0.0 : values[values.size() / 2];
}

// Random token ids: the same workload for every run, different tokens for every sequence.
class PromptSource {
 public:
  explicit PromptSource(int64_t vocab_size) : token_(0, static_cast<int32_t>(vocab_size - 1)) {}
  std::vector<int32_t> make(int64_t length) {
    std::vector<int32_t> prompt(static_cast<size_t>(length));
    for (int32_t& token : prompt) token = token_(random_);
    return prompt;
  }

 private:
  std::mt19937 random_{12345};
  std::uniform_int_distribution<int32_t> token_;
};

SamplingParams bench_sampling(int32_t max_tokens) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  params.ignore_eos = true;
  params.seed = 0;
  return params;
}

struct Row {
  std::string kind;  // "decode" or "prefill"
  int64_t batch = 0;
  int64_t length = 0;    // context (decode) or prompt (prefill)
  double seconds = 0.0;  // of a step, or of the whole prompt
  double tokens_per_second = 0.0;
  double bytes = 0.0;  // that the busiest rank reads
  double floor_seconds = 0.0;
};

class LatencyBench {
 public:
  LatencyBench(Engine& engine, ModelRunner& runner, const BenchLatencyOptions& options)
      : engine_(engine),
        runner_(runner),
        options_(options),
        prompts_(runner.config().vocab_size),
        floor_(engine.measure_floor()) {}

  const Floor& floor() const { return floor_; }

  // Steps of `batch` sequences after `context` tokens each; the first of each repeat is warm-up.
  Row decode(int64_t batch) {
    std::vector<double> steps;
    for (int32_t repeat = 0; repeat < options_.repeats; ++repeat) {
      for (int64_t i = 0; i < batch; ++i) engine_.add(prompts_.make(options_.context), bench_sampling(options_.output_len + 1));
      int64_t decoded = 0;
      while (engine_.has_work()) {
        const auto before = Clock::now();
        const size_t outputs = engine_.step().size();
        const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
        const bool all_decode = static_cast<int64_t>(outputs) == batch && engine_.last_step_tokens() == batch;
        if (all_decode && decoded++ > 0) steps.push_back(seconds);
      }
    }
    Row row{"decode", batch, options_.context, median(steps)};
    const double kv = static_cast<double>(runner_.cache().layout().bytes_per_token()) * static_cast<double>(batch) *
                      (static_cast<double>(options_.context) + options_.output_len / 2.0);
    row.bytes = static_cast<double>(floor_.bytes_per_step) + kv;
    row.floor_seconds = row.bytes / floor_.bandwidth;
    row.tokens_per_second = static_cast<double>(batch) / row.seconds;
    return row;
  }

  // One prompt of `length` tokens until its first output token.
  Row prefill(int64_t length) {
    std::vector<double> times;
    for (int32_t repeat = 0; repeat < options_.repeats + 1; ++repeat) {
      engine_.add(prompts_.make(length), bench_sampling(1));
      const auto before = Clock::now();
      while (engine_.has_work()) engine_.step();
      if (repeat > 0) times.push_back(std::chrono::duration<double>(Clock::now() - before).count());
    }
    Row row{"prefill", 1, length, median(times)};
    row.tokens_per_second = static_cast<double>(length) / row.seconds;
    // Weights once per chunk; the arithmetic bound of the device is not measured here.
    const int64_t chunks = (length + runner_.limits().max_num_batched_tokens - 1) / runner_.limits().max_num_batched_tokens;
    row.bytes = static_cast<double>(floor_.bytes_per_step) * static_cast<double>(chunks);
    row.floor_seconds = row.bytes / floor_.bandwidth;
    return row;
  }

 private:
  Engine& engine_;
  ModelRunner& runner_;
  const BenchLatencyOptions& options_;
  PromptSource prompts_;
  Floor floor_;
};

void print_table(const std::vector<Row>& rows) {
  fmt::print("{:<8} {:>6} {:>8} {:>11} {:>12} {:>11} {:>11} {:>9}\n", "phase", "batch", "length", "time ms", "tokens/s",
             "bytes MB", "floor ms", "of floor");
  for (const Row& row : rows) {
    fmt::print("{:<8} {:>6} {:>8} {:>11.3f} {:>12.1f} {:>11.1f} {:>11.3f} {:>8.0f}%\n", row.kind, row.batch, row.length,
               row.seconds * 1e3, row.tokens_per_second, row.bytes / 1e6, row.floor_seconds * 1e3,
               100.0 * row.floor_seconds / row.seconds);
  }
  std::fflush(stdout);
}

void write_json(const std::filesystem::path& path, const std::vector<Row>& rows, const Floor& floor, int ranks,
                const std::string& device) {
  nlohmann::ordered_json document;
  document["device"] = device;
  document["ranks"] = ranks;
  document["read_bandwidth_bytes_per_second_per_rank"] = floor.bandwidth;
  auto& list = document["rows"] = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    list.push_back({{"phase", row.kind},
                    {"batch", row.batch},
                    {"length", row.length},
                    {"seconds", row.seconds},
                    {"tokens_per_second", row.tokens_per_second},
                    {"bytes", row.bytes},
                    {"floor_seconds", row.floor_seconds}});
  }
  std::ofstream file(path);
  file << document.dump(2) << '\n';
  check(file.good(), "--json {}: the file cannot be written", path.string());
}

}  // namespace

int run_bench_latency(const World& world, const CommandLine& command_line) {
  const BenchLatencyOptions& options = command_line.bench_latency;
  EngineOptions engine_options;
  ModelConfig config;
  Workload workload;
  world.phase("reading the model's configuration", [&] {
    engine_options = resolve_engine_options(command_line);
    config = load_model_config(engine_options.model, engine_options.max_model_len);
    const int64_t batch = *std::max_element(options.batch_sizes.begin(), options.batch_sizes.end());
    const int64_t context = options.context + options.output_len + 1;
    const int64_t prefill = *std::max_element(options.prefill_lens.begin(), options.prefill_lens.end()) + 1;
    workload.num_sequences = batch;
    workload.prompt_tokens = std::max(batch * options.context, prefill);
    workload.total_tokens = std::max(batch * context, prefill);
    workload.longest = std::max(context, prefill);
    check(workload.longest <= config.max_position_embeddings, "the benchmark needs a context of {} tokens; the model has {}",
          workload.longest, config.max_position_embeddings);
    check(batch <= engine_options.max_num_seqs, "a batch of {} is more than --max-num-seqs {}", batch,
          engine_options.max_num_seqs);
  });
  const std::unique_ptr<ModelRunner> runner = bring_up(world, engine_options, config, workload);
  if (!world.is_root()) {
    serve_rank(world, *runner, engine_options);
    return 0;
  }
  Engine engine(world, *runner, engine_options, nullptr);
  LatencyBench bench(engine, *runner, options);
  fmt::print("{} ranks on {}; each reads {:.1f} GB/s while all do; weights read a step by the busiest rank: {:.1f} MB\n",
             world.size(), runner->backend().description(), bench.floor().bandwidth / 1e9,
             static_cast<double>(bench.floor().bytes_per_step) / 1e6);
  std::vector<Row> rows;
  for (const int32_t batch : options.batch_sizes) rows.push_back(bench.decode(batch));
  for (const int32_t length : options.prefill_lens) rows.push_back(bench.prefill(length));
  print_table(rows);
  const CommCounters& counters = runner->communicator().counters();
  fmt::print("AllReduce calls of rank 0: {}, {:.1f} MB; transport: {}\n", counters.all_reduce_calls,
             static_cast<double>(counters.all_reduce_bytes) / 1e6, runner->communicator().description());
  if (!options.json.empty()) write_json(options.json, rows, bench.floor(), world.size(), runner->backend().description());
  engine.shutdown();
  return 0;
}

}  // namespace lockstep
