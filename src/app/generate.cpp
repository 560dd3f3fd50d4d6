#include "app/generate.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "app/output_writer.h"
#include "app/prompts.h"
#include "base/log.h"
#include "base/process.h"
#include "base/trace.h"
#include "comm/stop_signal.h"
#include "engine/bring_up.h"
#include "engine/engine.h"
#include "engine/load_tokenizer.h"
#include "engine/profile.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) { return std::chrono::duration<double>(to - from).count(); }

// The line of figures at the end.
struct Figures {
  Clock::time_point submitted;
  std::optional<Clock::time_point> first_token;
  double first_token_after_start = 0.0;  // seconds since the process was started
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  // Steps that only decoded: their time, count and tokens are what the floor speaks of.
  double decode_seconds = 0.0;
  int64_t decode_steps = 0;
  int64_t decode_tokens = 0;

  void print(const Floor& floor) const {
    if (!first_token) return;
    const double decode_ms = decode_steps > 0 ? decode_seconds / static_cast<double>(decode_steps) * 1e3 : 0.0;
    const double floor_ms = floor.seconds_per_step * 1e3;
    std::string decode = "no step of decoding alone";
    if (decode_steps > 0) {
      decode = fmt::format(
          "decode {:.1f} tok/s, {:.3f} ms a step, floor {:.3f} ms ({:.0f} %: {:.1f} MB of weights ÷ {:.1f} GB/s a rank)",
          static_cast<double>(decode_tokens) / decode_seconds, decode_ms, floor_ms, 100.0 * floor_ms / decode_ms,
          static_cast<double>(floor.bytes_per_step) / 1e6, floor.bandwidth / 1e9);
    }
    spdlog::info("first token {:.3f} s after start, {:.3f} s after the prompt; {} prompt and {} output tokens; {}",
                 first_token_after_start, seconds_between(submitted, *first_token), prompt_tokens, output_tokens, decode);
  }
};

int run_root(const World& world, ModelRunner& runner, const EngineOptions& engine_options, const GenerateOptions& options,
             const Tokenizer* tokenizer, const std::vector<std::vector<int32_t>>& prompts, Profile& profile) {
  const StopSignal stop;
  Engine engine(world, runner, engine_options, tokenizer);
  OutputWriter writer(stdout, options.output_format, tokenizer != nullptr, prompts);
  Figures figures;
  figures.submitted = Clock::now();
  for (const std::vector<int32_t>& prompt : prompts) {
    engine.add(prompt, options.sampling);
    figures.prompt_tokens += static_cast<int64_t>(prompt.size());
  }
  profile.start();
  while (engine.has_work() && !stop.requested()) {
    const auto before = Clock::now();
    const std::vector<SequenceOutput> outputs = [&] {
      const TraceSpan span("step");
      return engine.step();
    }();
    const auto after = Clock::now();
    if (!outputs.empty() && !figures.first_token) {
      figures.first_token = after;
      figures.first_token_after_start = seconds_since_process_start();
    } else if (engine.last_step_tokens() == static_cast<int64_t>(outputs.size())) {
      figures.decode_seconds += seconds_between(before, after);
      figures.decode_steps += 1;
      figures.decode_tokens += static_cast<int64_t>(outputs.size());
    }
    figures.output_tokens += static_cast<int64_t>(outputs.size());
    for (const SequenceOutput& output : outputs) writer.add(output);
    profile.end_step();
  }
  profile.finish();
  writer.finish();
  if (!stop.requested()) figures.print(engine.measure_floor());
  engine.shutdown();
  if (stop.requested()) spdlog::warn("stopped by signal {} after {} tokens", stop.number(), figures.output_tokens);
  return stop.exit_code();
}

}  // namespace

int run_generate(const World& world, const CommandLine& command_line) {
  GenerateOptions options = command_line.generate;
  EngineOptions engine;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::vector<int32_t>> prompts;
  Workload workload;
  world.phase("reading the model's configuration", [&] {
    engine = resolve_engine_options(command_line);
    config = load_model_config(engine.model, engine.max_model_len);
  });
  world.phase("reading the prompts", [&] {
    if (!world.is_root()) return;
    tokenizer = load_tokenizer(config, engine);
    read_grammar(options.sampling.grammar);
    prompts = encode_prompts(options, config, engine, tokenizer.get());
    check_prompts(prompts, config, engine);
    const int64_t context = engine.max_model_len > 0 ? engine.max_model_len : config.max_position_embeddings;
    workload = measure_workload(prompts, options.sampling.max_tokens, context);
  });
  Profile profile(world.is_root() ? options.profile : ProfileOptions());
  const std::unique_ptr<ModelRunner> runner = bring_up(world, engine, config, workload);
  if (world.is_root()) return run_root(world, *runner, engine, options, tokenizer.get(), prompts, profile);
  const StopSignal stop;  // rank 0 decides when to stop
  serve_rank(world, *runner, engine);
  return stop.exit_code();
}

}  // namespace lockstep
