#include "tools/bench_run.h"

#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/trace.h"
#include "engine/rank_memory.h"
#include "tools/device_rates.h"
#include "tools/version.h"

namespace lockstep {
namespace {

// What `lockstep plan --bench` compares with what it predicts: the limits, and the memory of rank 0 in bytes.
void add_memory(nlohmann::ordered_json& results, ModelRunner& runner, const EngineOptions& engine) {
  const RunnerLimits& limits = runner.limits();
  results["limits"] = {{"max_model_len", limits.max_model_len},
                       {"max_num_seqs", limits.max_num_seqs},
                       {"max_num_batched_tokens", limits.max_num_batched_tokens},
                       {"block_size", runner.cache().layout().block_size},
                       {"gpu_memory_utilization", engine.gpu_memory_utilization}};
  const Backend& backend = runner.backend();
  const RankMemory memory = rank_memory(runner.config(), runner.partition(), runner.weights().dtype(),
                                        backend.activation_dtype(runner.weights().dtype()), limits, runner.cache().layout());
  results["memory"] = {{"weights", memory.weights},
                       {"activations", memory.activations},
                       {"buffers", memory.buffers},
                       {"kv_cache", memory.kv_block * runner.cache().num_blocks()},
                       {"kv_tokens", runner.cache().num_blocks() * runner.cache().layout().block_size}};
  if (backend.kind() != DeviceKind::kCuda) return;
  const MemoryInfo now = backend.memory();
  results["memory"]["device_total"] = runner.device_memory().total;
  results["memory"]["device_used_before_weights"] = runner.device_memory().used_before_weights;
  results["memory"]["device_used_before_steps"] = runner.device_memory().used_before_steps;
  results["memory"]["device_used"] = now.total_bytes - now.free_bytes;
  results["memory"]["cuda_graphs"] = runner.num_graphs();
}

}  // namespace

int64_t BenchRun::add(std::vector<int32_t> prompt, int32_t output_len) {
  SamplingParams params = options_.sampling;
  params.max_tokens = output_len;
  params.ignore_eos = true;
  params.seed = 0;
  return engine_.add(std::move(prompt), params);
}

std::vector<int32_t> BenchRun::random_prompt(int64_t length) {
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(runner_.config().vocab_size - 1));
  std::vector<int32_t> prompt(static_cast<size_t>(length));
  for (int32_t& id : prompt) id = token(random_);
  return prompt;
}

std::vector<SequenceOutput> BenchRun::step() {
  const TraceSpan span("step");
  std::vector<SequenceOutput> outputs = engine_.step();
  if (engine_.last_step_tokens() > 0) ++num_steps_;
  if (!outputs.empty() && !first_token_seconds_) first_token_seconds_ = seconds_since_process_start() - measuring_;
  return outputs;
}

void BenchRun::run_all() {
  while (engine_.has_work()) step();
}

nlohmann::ordered_json describe_bench(const char* name, const World& world, ModelRunner& runner, const EngineOptions& engine,
                                      const std::vector<DeviceRates>& rates) {
  nlohmann::ordered_json json;
  json["benchmark"] = name;
  json["lockstep"] = build_id();
  json["model"] = engine.model;
  json["dtype"] = name_of(runner.weights().dtype());
  json["device"] = runner.backend().description();
  json["ranks"] = world.size();
  json["transport"] = runner.communicator().description();
  json["read_bandwidth_bytes_per_second"] = nlohmann::ordered_json::array();
  json["flops_per_second"] = nlohmann::ordered_json::array();
  for (const DeviceRates& rate : rates) {
    json["read_bandwidth_bytes_per_second"].push_back(rate.bandwidth);
    json["flops_per_second"].push_back(rate.flops);
  }
  return json;
}

void print_device(const World& world, Backend& backend, const std::vector<DeviceRates>& rates) {
  fmt::print("{} rank{} on {}; rank 0 reads {:.1f} GB/s and computes {:.3g} TFLOP/s while all do\n", world.size(),
             world.size() == 1 ? "" : "s", backend.description(), rates.front().bandwidth / 1e9, rates.front().flops / 1e12);
  std::fflush(stdout);
}

void write_results(const std::filesystem::path& path, const nlohmann::ordered_json& results) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << results.dump(2) << '\n';
  file.close();
  check(file.good(), "--json {}: the file cannot be written", path.string());
}

std::string share_of_floor(double floor_seconds, double seconds) {
  return seconds > 0.0 ? fmt::format("{:.1f}%", 100.0 * floor_seconds / seconds) : "-";
}

int run_bench(const World& world, const CommandLine& command_line, const BenchOptions& options, const Bench& bench) {
  EngineOptions engine_options;
  ModelConfig config;
  Workload workload;
  world.phase("reading the model's configuration", [&] {
    engine_options = resolve_engine_options(command_line);
    // Prompts repeat where measurements do, and what is measured is to compute them, unless told otherwise.
    if (!command_line.has_engine_flag("enable-prefix-caching")) engine_options.enable_prefix_caching = false;
    config = load_model_config(engine_options.model, engine_options.max_model_len);
    workload = bench.workload(engine_options, config);
    const int64_t context = engine_options.max_model_len > 0 ? engine_options.max_model_len : config.max_position_embeddings;
    check(workload.longest <= context, "the benchmark needs a context of {} tokens; the model has {} (--max-model-len)",
          workload.longest, context);
  });
  Profile profile(world.is_root() ? options.profile : ProfileOptions());
  const std::unique_ptr<ModelRunner> runner = bring_up(world, engine_options, config, workload);
  const auto before = BenchClock::now();
  const std::vector<DeviceRates> rates = measure_rates(world, *runner, options.flops_rate);
  const double measuring = seconds_between(before, BenchClock::now());
  if (!world.is_root()) {
    serve_rank(world, *runner, engine_options);
    return 0;
  }
  const FloorModel floor(config, rates, size_of(runner->weights().dtype()), size_of(runner->cache().layout().dtype));
  Engine engine(world, *runner, engine_options, nullptr);
  BenchRun run(engine, *runner, floor, options, measuring);
  print_device(world, runner->backend(), rates);
  nlohmann::ordered_json results = describe_bench(bench.name, world, *runner, engine_options, rates);
  results.update(bench.measure(run));
  if (profile.is_wanted()) bench.trace(run, profile);
  engine.shutdown();

  if (run.first_token_seconds()) fmt::print("first token {:.2f} s after the process was started\n", *run.first_token_seconds());
  const CommCounters& counters = runner->communicator().counters();
  if (world.size() > 1) {
    fmt::print("AllReduce calls of rank 0: {}, {:.1f} MB; transport: {}\n", counters.all_reduce_calls,
               static_cast<double>(counters.all_reduce_bytes) / 1e6, runner->communicator().description());
  }
  std::fflush(stdout);
  if (run.first_token_seconds()) results["first_token_seconds"] = *run.first_token_seconds();
  add_memory(results, *runner, engine_options);
  results["all_reduce_calls"] = counters.all_reduce_calls;
  results["all_reduce_bytes"] = counters.all_reduce_bytes;
  write_results(options.json, results);
  return 0;
}

}  // namespace lockstep
