#include "app/batch.h"

#include <filesystem>
#include <memory>

#include "app/batch_identity.h"
#include "app/batch_input.h"
#include "app/batch_job.h"
#include "app/batch_output.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "comm/stop_signal.h"
#include "engine/bring_up.h"
#include "engine/engine.h"
#include "engine/load_tokenizer.h"
#include "openai/request_encoder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// What rank 0 has of the job besides the model.
struct Files {
  std::unique_ptr<Tokenizer> tokenizer;
  BatchInputSummary input;
  std::unique_ptr<BatchLock> lock;
  std::unique_ptr<BatchOutput> output;
};

fs::path beside(const fs::path& file, const char* suffix) { return fs::path(file.string() + suffix); }

Files open_files(const BatchOptions& options, const EngineOptions& engine, const ModelConfig& config) {
  Files files;
  std::error_code ignored;
  check(!fs::equivalent(options.input, options.output, ignored), "-i and -o both name {}", options.input.string());
  files.lock = std::make_unique<BatchLock>(beside(options.output, ".lock"), options.lock_timeout_s);
  files.tokenizer = load_tokenizer(config, engine);
  files.input = summarize_batch_input(options.input, options.shard);
  files.output =
      std::make_unique<BatchOutput>(options.output, batch_identity(options, files.input, engine, config), options.restart);
  if (files.output->num_done() > 0) {
    spdlog::info("{}: goes on after {} of {} answers", options.output.string(), files.output->num_done(),
                 files.input.num_requests);
  }
  return files;
}

int run_root(const World& world, ModelRunner& runner, const EngineOptions& engine_options, const BatchOptions& options,
             Files& files, const StopSignal& stop) {
  Engine engine(world, runner, engine_options, files.tokenizer.get());
  auto encoding = request_encoder_options(options, engine_options, runner.config(), runner.limits().max_model_len);
  encoding.grammars = engine.grammars();
  const RequestEncoder encoder(runner.config(), files.tokenizer.get(), std::move(encoding));
  int code = 0;
  {
    BatchReader reader(options.input, encoder, options.seed,
                       [&](int64_t line) { return options.shard.has(line) && !files.output->is_done(line); });
    BatchJob job(engine, encoder, reader, *files.output, options, files.input.num_requests, runner.limits().max_num_seqs);
    const bool finished = job.run(stop);
    if (!finished) code = stop.number() == SIGINT ? stop.exit_code() : kRequeueExitCode;
    spdlog::info("{}: {}", options.output.string(), job.summary());
  }
  engine.shutdown();
  return code;
}

}  // namespace

int run_batch(const World& world, const CommandLine& command_line) {
  const StopSignal stop(StopSignal::Also::kUser1);
  BatchOptions options = command_line.batch;
  if (options.status_file.empty()) options.status_file = beside(options.output, ".status.json");
  EngineOptions engine;
  ModelConfig config;
  Files files;
  world.phase("reading the model's configuration", [&] {
    engine = resolve_engine_options(command_line);
    config = load_model_config(engine.model, engine.max_model_len);
  });
  world.phase("opening the batch", [&] {
    if (world.is_root()) files = open_files(options, engine, config);
  });
  const int64_t left = world.is_root() ? files.input.num_requests - files.output->num_done() : 0;
  if (world.all_max(left, "the size of the batch") == 0) {
    if (world.is_root())
      spdlog::info("{}: all {} requests are answered already", options.output.string(), files.input.num_requests);
    return 0;
  }
  const std::unique_ptr<ModelRunner> runner = bring_up(world, engine, config, Workload{});
  int code = 0;
  if (world.is_root()) {
    code = run_root(world, *runner, engine, options, files, stop);
  } else {
    serve_rank(world, *runner, engine);  // rank 0 decides when to stop
  }
  return static_cast<int>(world.all_max(code, "the outcome"));
}

}  // namespace lockstep
