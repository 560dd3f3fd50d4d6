#include "tools/bench_throughput.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "engine/progress_bar.h"
#include "tools/bench_run.h"
#include "tools/request_file.h"

namespace lockstep {
namespace {

// Most output tokens of a request while warming up.
constexpr int32_t kWarmupOutputs = 4;

using Requests = std::vector<BenchRequest>;

int32_t draw_length(int32_t mean, double ratio, std::mt19937_64& random) {
  const auto low = static_cast<int32_t>(std::floor(mean * (1.0 - ratio)));
  const auto high = static_cast<int32_t>(std::ceil(mean * (1.0 + ratio)));
  return std::max(1, std::uniform_int_distribution<int32_t>(low, high)(random));
}

Requests random_requests(const BenchThroughputOptions& options, int64_t vocab_size) {
  std::mt19937_64 random{20240607};
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocab_size - 1));
  Requests requests(static_cast<size_t>(options.num_requests));
  for (BenchRequest& request : requests) {
    request.prompt.resize(static_cast<size_t>(draw_length(options.input_len, options.range_ratio, random)));
    for (int32_t& id : request.prompt) id = token(random);
    request.output_len = draw_length(options.output_len, options.range_ratio, random);
  }
  return requests;
}

Requests make_requests(const BenchThroughputOptions& options, const EngineOptions& engine, const ModelConfig& config) {
  if (options.dataset.empty()) return random_requests(options, config.vocab_size);
  RequestFileOptions file;
  file.count = options.num_requests;
  file.default_output_len = options.output_len;
  file.max_model_len = engine.max_model_len > 0 ? engine.max_model_len : config.max_position_embeddings;
  file.tokenizer = engine.tokenizer.empty() ? config.tokenizer : std::filesystem::path(engine.tokenizer);
  return read_request_file(options.dataset, config, file);
}

// What all steps together ask of the model at least: no token is computed twice, and nothing is read of a prompt but once.
StepShape total_shape(const Requests& requests) {
  StepShape all;
  for (const BenchRequest& request : requests) {
    const auto prompt = static_cast<int64_t>(request.prompt.size());
    all += StepShape::chunk(0, prompt, true);
    for (int32_t i = 1; i < request.output_len; ++i) all += StepShape::decode(1, static_cast<double>(prompt + i));
  }
  return all;
}

struct Figures {
  double seconds = 0.0;
  int64_t requests = 0;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t steps = 0;
  int64_t step_tokens = 0;  // query tokens of all steps
  int64_t preemptions = 0;
  double floor_seconds = 0.0;
  FloorModel::Totals totals;
};

class ThroughputBench {
 public:
  ThroughputBench(BenchRun& run, const Requests& requests) : run_(run), requests_(requests) {
    for (const BenchRequest& request : requests) outputs_expected_ += request.output_len;
  }

  void warm_up(int32_t count) {
    for (size_t i = 0; i < std::min(requests_.size(), static_cast<size_t>(count)); ++i) {
      run_.add(requests_[i].prompt, std::min(requests_[i].output_len, kWarmupOutputs));
    }
    run_.run_all();
  }

  // profile: records some steps in the middle, unless it has a recording already.
  Figures measure(Profile& profile) {
    Figures f;
    ProgressBar bar("requests", true);
    const int64_t first_step = run_.num_steps();
    const int64_t first_preemption = run_.engine().stats().num_preemptions;
    const auto start = BenchClock::now();
    for (const BenchRequest& request : requests_) {
      run_.add(request.prompt, request.output_len);
      f.prompt_tokens += static_cast<int64_t>(request.prompt.size());
    }
    while (run_.engine().has_work()) {
      if (f.output_tokens * 2 >= outputs_expected_) profile.start();
      for (const SequenceOutput& output : run_.step()) {
        f.output_tokens += 1;
        f.requests += output.finish != FinishReason::kNone ? 1 : 0;
      }
      f.step_tokens += run_.engine().last_step_tokens();
      profile.end_step();
      if (bar.enabled()) show(bar, f, seconds_between(start, BenchClock::now()));
    }
    f.seconds = seconds_between(start, BenchClock::now());
    profile.finish();
    f.steps = run_.num_steps() - first_step;
    f.preemptions = run_.engine().stats().num_preemptions - first_preemption;
    check(f.output_tokens == outputs_expected_ && f.requests == static_cast<int64_t>(requests_.size()),
          "{} requests ended with {} tokens; {} were to end with {}", f.requests, f.output_tokens, requests_.size(),
          outputs_expected_);
    const StepShape all = total_shape(requests_);
    f.floor_seconds = run_.floor().run_seconds(all, f.steps);
    f.totals = run_.floor().totals(all, f.steps);
    return f;
  }

 private:
  void show(ProgressBar& bar, const Figures& f, double seconds) const {
    bar.update(f.output_tokens, outputs_expected_,
               fmt::format("{}/{} requests, {:.0f} output tokens/s", f.requests, requests_.size(),
                           static_cast<double>(f.output_tokens) / std::max(seconds, 1e-9)));
  }

  BenchRun& run_;
  const Requests& requests_;
  int64_t outputs_expected_ = 0;
};

// The repeat with the median time; of two in the middle, the slower.
Figures middle(std::vector<Figures> repeats) {
  const auto at = repeats.begin() + static_cast<ptrdiff_t>(repeats.size() / 2);
  std::nth_element(repeats.begin(), at, repeats.end(), [](const Figures& a, const Figures& b) { return a.seconds < b.seconds; });
  return *at;
}

void print(const Figures& f) {
  const auto per_second = [&](int64_t tokens) { return static_cast<double>(tokens) / f.seconds; };
  fmt::print("{} requests, {} prompt and {} output tokens in {:.3f} s: {:.2f} requests/s\n", f.requests, f.prompt_tokens,
             f.output_tokens, f.seconds, per_second(f.requests));
  fmt::print("tokens/s: {:.1f} prompt, {:.1f} output, {:.1f} total\n", per_second(f.prompt_tokens), per_second(f.output_tokens),
             per_second(f.prompt_tokens + f.output_tokens));
  fmt::print("{} steps of {:.1f} tokens for {:.1f} outputs on average; {} preemptions\n", f.steps,
             static_cast<double>(f.step_tokens) / static_cast<double>(f.steps),
             static_cast<double>(f.output_tokens) / static_cast<double>(f.steps), f.preemptions);
  fmt::print("floor {:.3f} s, {}: {:.3g} TFLOP and {:.3g} GB on the busiest rank\n", f.floor_seconds,
             share_of_floor(f.floor_seconds, f.seconds), f.totals.flops / 1e12, f.totals.bytes / 1e9);
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Figures& f, const std::vector<double>& repeats) {
  const auto per_second = [&](int64_t tokens) { return static_cast<double>(tokens) / f.seconds; };
  return {{"requests", f.requests},
          {"prompt_tokens", f.prompt_tokens},
          {"output_tokens", f.output_tokens},
          {"seconds", f.seconds},
          {"seconds_of_repeats", repeats},
          {"requests_per_second", per_second(f.requests)},
          {"prompt_tokens_per_second", per_second(f.prompt_tokens)},
          {"output_tokens_per_second", per_second(f.output_tokens)},
          {"total_tokens_per_second", per_second(f.prompt_tokens + f.output_tokens)},
          {"steps", f.steps},
          {"mean_tokens_per_step", static_cast<double>(f.step_tokens) / static_cast<double>(f.steps)},
          {"mean_outputs_per_step", static_cast<double>(f.output_tokens) / static_cast<double>(f.steps)},
          {"preemptions", f.preemptions},
          {"flops", f.totals.flops},
          {"bytes", f.totals.bytes},
          {"floor_seconds", f.floor_seconds},
          {"floor_ratio", f.floor_seconds / f.seconds}};
}

}  // namespace

int run_bench_throughput(const World& world, const CommandLine& command_line) {
  const BenchThroughputOptions& options = command_line.bench_throughput;
  Requests requests;  // on rank 0
  Bench bench;
  bench.name = "throughput";
  bench.workload = [&](const EngineOptions& engine, const ModelConfig& config) {
    Workload workload;
    if (!world.is_root()) return workload;
    requests = make_requests(options, engine, config);
    for (const BenchRequest& request : requests) {
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      ++workload.num_sequences;
      workload.prompt_tokens += prompt;
      workload.total_tokens += prompt + request.output_len;
      workload.longest = std::max(workload.longest, prompt + request.output_len);
    }
    return workload;
  };
  bench.measure = [&](BenchRun& run) {
    ThroughputBench throughput(run, requests);
    throughput.warm_up(options.warmup_requests);
    std::vector<Figures> repeats;
    std::vector<double> seconds;
    Profile none({});
    for (int32_t i = 0; i < run.options().repeats; ++i) {
      repeats.push_back(throughput.measure(none));
      seconds.push_back(repeats.back().seconds);
    }
    const Figures figures = middle(repeats);
    print(figures);
    return to_json(figures, seconds);
  };
  bench.trace = [&](BenchRun& run, Profile& profile) { ThroughputBench(run, requests).measure(profile); };
  return run_bench(world, command_line, command_line.bench_throughput, bench);
}

}  // namespace lockstep
