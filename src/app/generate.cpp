#include "app/generate.h"

#include <cstdio>
#include <optional>

#include "app/output_writer.h"
#include "app/prompts.h"
#include "base/log.h"
#include "base/process.h"
#include "comm/stop_signal.h"
#include "engine/profile.h"
#include "llm/session.h"

namespace lockstep {
namespace {

using Clock = Session::Clock;

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

  void add(const Session::Step& step, int64_t query_tokens) {
    const auto made = static_cast<int64_t>(step.outputs.size());
    if (made > 0 && !first_token) {
      first_token = step.end;
      first_token_after_start = seconds_since_process_start();
    } else if (query_tokens == made) {
      decode_seconds += seconds_between(step.begin, step.end);
      decode_steps += 1;
      decode_tokens += made;
    }
    output_tokens += made;
  }

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

int run_root(Session& session, const GenerateOptions& options, const std::vector<std::vector<int32_t>>& prompts,
             Profile& profile) {
  const StopSignal stop;
  Engine& engine = session.engine();
  OutputWriter writer(stdout, options.output_format, session.tokenizer() != nullptr, prompts);
  Figures figures;
  figures.submitted = Clock::now();
  for (const std::vector<int32_t>& prompt : prompts) {
    engine.add(prompt, options.sampling);
    figures.prompt_tokens += static_cast<int64_t>(prompt.size());
  }
  profile.start();
  session.run([&] { return stop.requested(); },
              [&](const Session::Step& step) {
                figures.add(step, engine.last_step_tokens());
                for (const SequenceOutput& output : step.outputs) writer.add(output);
                profile.end_step();
              });
  profile.finish();
  writer.finish();
  if (!stop.requested()) figures.print(engine.measure_floor());
  session.shutdown();
  if (stop.requested()) spdlog::warn("stopped by signal {} after {} tokens", stop.number(), figures.output_tokens);
  return stop.exit_code();
}

}  // namespace

int run_generate(const World& world, const CommandLine& command_line) {
  GenerateOptions options = command_line.generate;
  Session session(world, [&] { return resolve_engine_options(command_line); });
  std::vector<std::vector<int32_t>> prompts;
  Workload workload;
  world.phase("reading the prompts", [&] {
    if (!world.is_root()) return;
    read_grammar(options.sampling.grammar);
    prompts = encode_prompts(options, session.config(), session.options(), session.tokenizer());
    check_prompts(prompts, session.config(), session.options());
    workload = measure_workload(prompts, options.sampling.max_tokens, session.max_model_len());
  });
  Profile profile(world.is_root() ? options.profile : ProfileOptions());
  session.bring_up(workload);
  if (world.is_root()) return run_root(session, options, prompts, profile);
  const StopSignal stop;  // rank 0 decides when to stop
  session.serve_rank();
  return stop.exit_code();
}

}  // namespace lockstep
