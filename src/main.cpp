// lockstep: parse the command line, join the other ranks, run the command.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "app/batch.h"
#include "app/chat.h"
#include "app/generate.h"
#include "base/env.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/parent_watch.h"
#include "comm/start_up_facts.h"
#include "comm/world.h"
#include "config/command_line.h"
#include "plan/run_plan.h"
#include "serve/serve.h"
#include "tools/bench_comm.h"
#include "tools/bench_engine.h"
#include "tools/bench_kernels.h"
#include "tools/bench_latency.h"
#include "tools/bench_load.h"
#include "tools/bench_prefill.h"
#include "tools/bench_throughput.h"
#include "tools/bench_tokenize.h"
#include "tools/config_tool.h"
#include "tools/doctor/run_doctor.h"
#include "tools/inspect.h"
#include "tools/tokenize.h"
#include "tools/version.h"

namespace lockstep {
namespace {

constexpr const char* kLogLevel = "info";

using Parsed = std::variant<CommandLine, ExitRequest>;

// Commands that load no model: one process does them, whatever the number of ranks.
int run_tool(const CommandLine& command_line) {
  std::ios::sync_with_stdio(false);  // else every line of output is flushed
  switch (command_line.command) {
    case Command::kInspect: return run_inspect(command_line.inspect, std::cout);
    case Command::kConfig: {
      const EngineOptions engine = resolve_engine_options(command_line);
      return run_config(engine.model, engine, std::cout);
    }
    case Command::kPlan: return run_plan(command_line, std::cout);
    case Command::kBenchTokenize: return run_bench_tokenize(command_line.bench_tokenize, std::cout);
    case Command::kTokenize: return run_tokenize(command_line.tokenize, std::cin, std::cout);
    default: fail("not a tool");
  }
}

bool is_tool(Command command) {
  return command == Command::kPlan || command == Command::kInspect || command == Command::kConfig ||
         command == Command::kTokenize || command == Command::kBenchTokenize;
}

int print_and_exit(const ExitRequest& request) {
  std::fputs(request.text.c_str(), request.to_stderr ? stderr : stdout);
  return request.code;
}

std::string join_arguments(int argc, char** argv) {
  std::string all;
  for (int i = 1; i < argc; ++i) all += (i > 1 ? " " : "") + std::string(argv[i]);
  return all;
}

// What every rank must agree on before anything else.
void check_agreement(const World& world, const Parsed& parsed, const std::string& arguments) {
  world.phase("comparing the ranks", [&] {
    world.require_same("the build (lockstep --version)", build_id());
    world.require_same("the command line", arguments);
  });
  world.phase("checking the start-up", [&] {
    RankFacts facts = own_facts(world);
    if (const auto* command_line = std::get_if<CommandLine>(&parsed)) {
      facts.tensor_parallel_size = command_line->engine.tensor_parallel_size;
    }
    check_start_up(world, facts);
  });
}

// With the other ranks: everything that runs a model, and whatever a launcher started several times.
int run_in_world(World& world, const Parsed& parsed, const std::string& arguments) {
  // What ranks should agree on is among what the doctor looks at.
  if (const auto* line = std::get_if<CommandLine>(&parsed); line != nullptr && line->command == Command::kDoctor) {
    return doctor::run_doctor(world, *line, arguments);
  }
  check_agreement(world, parsed, arguments);
  if (const auto* request = std::get_if<ExitRequest>(&parsed)) {
    return world.is_root() ? print_and_exit(*request) : request->code;
  }
  const auto& command_line = std::get<CommandLine>(parsed);
  if (is_tool(command_line.command)) {
    int code = 0;
    world.phase("running the command", [&] {
      if (world.is_root()) code = run_tool(command_line);
    });
    return code;
  }
  world.set_timeout(Seconds(command_line.engine.init_timeout_s));
  switch (command_line.command) {
    case Command::kBenchLatency: return run_bench_latency(world, command_line);
    case Command::kBenchPrefill: return run_bench_prefill(world, command_line);
    case Command::kBenchThroughput: return run_bench_throughput(world, command_line);
    case Command::kBenchKernels: return run_bench_kernels(world, command_line);
    case Command::kBenchComm: return run_bench_comm(world, command_line);
    case Command::kChat: return run_chat(world, command_line);
    case Command::kBatch: return run_batch(world, command_line);
    case Command::kServe: return run_serve(world, command_line, build_id());
    case Command::kBenchEngine: return run_bench_engine(world, command_line);
    case Command::kBenchLoad: return run_bench_load(world, command_line);
    default: return run_generate(world, command_line);
  }
}

int run(int argc, char** argv) {
  const Env env = Env::read();
  const std::string arguments = join_arguments(argc, argv);
  // Asking for the version looks at the GPU driver, which takes a while; nothing else needs it.
  const bool wants_version = std::find(argv + 1, argv + argc, std::string_view("--version")) != argv + argc;
  const Parsed parsed = parse_command_line(argc, argv, wants_version ? version_text() : build_id());

  const auto* command_line = std::get_if<CommandLine>(&parsed);
  const bool needs_world = command_line != nullptr && !is_tool(command_line->command);
  const bool launched = !env.launcher.variable.empty();
  if (!needs_world && !launched) {  // no launcher: no need for MPI
    set_up_logging(env.log_level.value_or(kLogLevel), 0, 1, "");
    return command_line != nullptr ? run_tool(*command_line) : print_and_exit(std::get<ExitRequest>(parsed));
  }
  std::optional<ParentWatch> watch;  // from before MPI_Init, which waits long for a launcher that is gone
  if (launched) watch.emplace(env.pmix_server_uri);
  World world(argc, argv);
  try {
    set_up_logging(env.log_level.value_or(kLogLevel), world.rank(), world.size(), world.host());
    return run_in_world(world, parsed, arguments);
  } catch (const PhaseFailed&) {
    return 1;  // printed once by the rank it concerns; MPI ends in order
  } catch (const PeerAborted&) {
    world.await_abort();
  } catch (const Error& error) {
    spdlog::debug("thrown at {}:{}", error.where().file_name(), error.where().line());
    world.abort(error.what());
  } catch (const std::exception& error) {
    world.abort(error.what());
  }
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  try {
    return lockstep::run(argc, argv);
  } catch (const lockstep::PhaseFailed&) {
    return 1;  // another process of the job has said why
  } catch (const std::exception& error) {
    fmt::print(stderr, "lockstep: error: {}\n", error.what());
    return 1;
  }
}
