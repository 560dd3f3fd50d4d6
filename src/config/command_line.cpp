#include "config/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "config/cli_flags.h"
#include "config/engine_flags.h"
#include "config/flag_values.h"
#include "config/model_files.h"
#include "config/reference.h"

namespace lockstep {
namespace {

constexpr int kUsageError = 2;

// What CLI11 cannot express: -tp N and -tp=N, though short names have one letter (-tp is -t with value p to it), and --flag=
// with an empty value (it would take the next argument). Values of -p, --prompt and --stop stay as they are.
std::vector<std::string> normalize(int argc, const char* const* argv) {
  std::vector<std::string> args;
  bool is_text = false;
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    if (std::exchange(is_text, false)) {
      args.push_back(std::move(arg));
      continue;
    }
    is_text = arg == "-p" || arg == "--prompt" || arg == "--stop";
    if (arg == "-tp" || arg.starts_with("-tp=")) arg.insert(0, "-");
    if (arg.size() > 3 && arg.starts_with("--") && arg.find('=') == arg.size() - 1) {
      arg.pop_back();
      args.push_back(std::exchange(arg, ""));
    }
    args.push_back(std::move(arg));
  }
  return args;
}

struct Subcommand {
  Command command;
  CliFlags flags;
};

std::vector<Subcommand> add_subcommands(CLI::App& app, CommandLine& result) {
  std::vector<Subcommand> all;
  const auto add = [&](CLI::App& parent, Command command, const char* name, const char* help,
                       void (*add_flags)(CliFlags&, CommandLine&)) {
    all.push_back({command, CliFlags(parent.add_subcommand(name, help))});
    add_flags(all.back().flags, result);
  };
  add(app, Command::kGenerate, "generate", "Continue prompts", add_generate);
  add(app, Command::kChat, "chat", "Talk with a chat model", add_chat);
  add(app, Command::kBatch, "batch", "Answer a file of requests; goes on where it was when it is started again", add_batch);
  add(app, Command::kServe, "serve", "Answer requests of OpenAI's API over HTTP", add_serve);
  CLI::App* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  add(*bench, Command::kBenchLatency, "latency", "Time of a decode step over batch sizes and contexts, beside its floor",
      add_bench_latency);
  add(*bench, Command::kBenchPrefill, "prefill", "Time of prompts over batch sizes and lengths, beside its floor",
      add_bench_prefill);
  add(*bench, Command::kBenchThroughput, "throughput", "Many requests at once, offline, beside the floor", add_bench_throughput);
  add(*bench, Command::kBenchKernels, "kernels", "Every operation of a step at a model's shapes, beside its floor",
      add_bench_kernels);
  add(*bench, Command::kBenchComm, "comm", "AllReduce times over message sizes", add_bench_comm);
  add(*bench, Command::kBenchLoad, "load", "How fast each rank gets its weights, beside what the files give", add_bench_load);
  add(*bench, Command::kBenchEngine, "engine", "Time that the engine adds to a step of the model", add_bench_engine);
  add(*bench, Command::kBenchTokenize, "tokenize", "Rate of a tokenizer on one core", add_bench_tokenize);
  add(app, Command::kPlan, "plan",
      "What a model needs and how fast it is on GPUs that are not here, and how many of them to take", add_plan);
  add(app, Command::kDoctor, "doctor", "Find what makes a run on these hosts fail or crawl", add_doctor);
  add(app, Command::kInspect, "inspect", "List a checkpoint's tensors and, with -tp N, who gets what", add_inspect);
  add(app, Command::kConfig, "config", "Print the resolved model and engine options as YAML", add_config);
  add(app, Command::kTokenize, "tokenize", "Turn lines of stdin into JSON arrays of token ids", add_tokenize);
  return all;
}

// What one flag alone cannot know.
void check_together(const CommandLine& line) {
  if (line.command == Command::kGenerate) {
    const GenerateOptions& g = line.generate;
    check(!g.prompts.empty() || !g.prompts_file.empty(), "no prompt; give -p TEXT, --prompts FILE or --prompt-token-ids ID,...");
    check(g.sampling.min_tokens <= g.sampling.max_tokens, "--min-tokens is {}; allowed: at most --max-tokens, {}",
          g.sampling.min_tokens, g.sampling.max_tokens);
  }
  if (line.command == Command::kServe) {
    check(line.serve.ssl_certfile.empty() == line.serve.ssl_keyfile.empty(),
          "--ssl-certfile and --ssl-keyfile belong together; give both or none");
  }
  if (line.command == Command::kChat) {
    const SamplingParams& s = line.chat.sampling;
    check(s.min_tokens <= s.max_tokens, "--min-tokens is {}; allowed: at most --max-tokens, {}", s.min_tokens, s.max_tokens);
  }
  if (line.command == Command::kPlan) {
    check(!line.engine.model.empty() || !line.plan.bench.empty(),
          "no model; give --model DIR, a YAML file or a name, or --bench FILE, which names its own");
  }
  if (line.command == Command::kBenchLatency) {
    const BenchLatencyOptions& b = line.bench_latency;
    check(b.skip < b.output_len, "--skip is {}; allowed: less than --output-len, {}", b.skip, b.output_len);
  }
  if (line.command == Command::kBenchEngine) {
    const BenchEngineOptions& b = line.bench_engine;
    check(b.has_text() || !b.has_form(), "--json-schema needs the tokens' texts; give --tokenizer DIR, too");
  }
}

std::string program_of(const CLI::App& app) {
  std::string name = app.get_name();
  for (const CLI::App* sub : app.get_subcommands()) name += " " + program_of(*sub);
  return name;
}

}  // namespace

std::variant<CommandLine, ExitRequest> parse_command_line(int argc, const char* const* argv, const std::string& version) {
  CommandLine result;
  CLI::App app("LLM inference for mpirun and Slurm: one process per GPU or CPU rank, Megatron tensor parallelism.", "lockstep");
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of all subcommands");
  app.set_version_flag("--version", version, "Version, commit, backends and library versions");
  const std::vector<Subcommand> subcommands = add_subcommands(app, result);
  std::string reference_format;
  CLI::App* reference_command = app.add_subcommand("reference", "Print all options as documentation, or completions for a shell");
  reference_command->add_option("FORMAT", reference_format, "markdown, man, bash, zsh or fish")->required();
  // After the subcommands, which would inherit it.
  app.footer(
      "Examples:\n"
      "  mpirun -np 2 lockstep generate --model DIR -p \"The capital of France is\"\n"
      "  lockstep chat --model DIR\n"
      "  mpirun -np 2 lockstep batch --model DIR -i in.jsonl -o out.jsonl\n"
      "  mpirun -np 2 lockstep serve --model DIR --port 8000\n"
      "  mpirun -np 2 lockstep bench latency --model qwen2.5-0.5b --load-format dummy\n"
      "  lockstep plan --model llama-3-70b --gpu h100-80gb\n"
      "  mpirun -np 4 lockstep doctor --model DIR\n"
      "  lockstep inspect DIR -tp 4\n"
      "  lockstep config --model llama-3-8b\n"
      "  echo Hello | lockstep tokenize --model DIR\n"
      "Each subcommand has its own --help.");
  const auto error = [&](const std::string& what) {
    const std::string program = program_of(app);
    return ExitRequest{kUsageError, fmt::format("{}: {}\nRun `{} --help` for what is allowed.\n", program, what, program), true};
  };
  try {
    std::vector<std::string> args = normalize(argc, argv);
    std::reverse(args.begin(), args.end());  // as CLI11 wants it
    app.parse(std::move(args));
    for (const Subcommand& sub : subcommands) {
      if (!sub.flags.app()->parsed()) continue;
      result.command = sub.command;
      sub.flags.apply();
    }
    if (reference_command->parsed()) {
      return ExitRequest{0,
                         reference(app, parse_choice<ReferenceFormat>(reference_format, {{"markdown", ReferenceFormat::kMarkdown},
                                                                                         {"man", ReferenceFormat::kMan},
                                                                                         {"bash", ReferenceFormat::kBash},
                                                                                         {"zsh", ReferenceFormat::kZsh},
                                                                                         {"fish", ReferenceFormat::kFish}})),
                         false};
    }
    check_together(result);
  } catch (const CLI::CallForHelp&) {
    return ExitRequest{0, app.help(), false};
  } catch (const CLI::CallForAllHelp&) {
    return ExitRequest{0, app.help("", CLI::AppFormatMode::All), false};
  } catch (const CLI::CallForVersion&) {
    return ExitRequest{0, version.ends_with('\n') ? version : version + "\n", false};
  } catch (const CLI::RequiredError& e) {
    // CLI11 looks for what is missing first; a misspelt flag or subcommand is the likelier cause.
    const std::vector<std::string> extra = app.remaining(true);
    return error(extra.empty() ? e.what() : fmt::format("{}; not understood: {}", e.what(), fmt::join(extra, " ")));
  } catch (const CLI::ParseError& e) {
    return error(e.what());
  } catch (const Error& e) {
    return error(e.what());
  }
  return result;
}

EngineOptions resolve_engine_options(const CommandLine& command_line) {
  return resolve_engine_options(
      command_line, command_line.engine.model.empty() ? std::filesystem::path() : find_model(command_line.engine.model));
}

EngineOptions resolve_engine_options(const CommandLine& command_line, const std::filesystem::path& found) {
  EngineOptions options;
  options.model = command_line.engine.model;
  options.tokenizer = command_line.engine.tokenizer;
  if (!found.empty() && !leads_to_directory(found)) apply_engine_section(found, options);
  for (const auto& [name, value] : command_line.engine_flags) find_engine_flag(name)->set(options, value);
  return options;
}

}  // namespace lockstep
