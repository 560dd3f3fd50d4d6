// Glue between CLI11 and our value parsers: CLI11 splits the command line and writes the help, the parsers judge every value.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/command_line.h"

namespace lockstep {

struct EngineFlag;

// The flags of one subcommand and what to do with their values.
class CliFlags {
 public:
  using Handler = std::function<void(const std::string& value)>;
  enum class Times { kOnce, kMany };

  explicit CliFlags(CLI::App* app) : app_(app) {}
  CLI::App* app() const { return app_; }

  // names as CLI11 takes them ("-p,--prompt"; "DIR" for a positional); handler may throw Error "'X' is not allowed; allowed: …".
  CLI::Option* value(const std::string& names, const std::string& value_name, const std::string& help, Handler handler,
                     Times times = Times::kOnce);
  CLI::Option* flag(const std::string& names, const std::string& help, bool& target);
  CLI::Option* flag(const std::string& names, const std::string& help,
                    Handler handler);  // gets "true", or "false" for !--no-name

  // After parsing: runs the handlers in the order typed. Throws Error naming flag, value and what is allowed.
  void apply() const;

 private:
  struct Entry {
    Handler handler;
    Times times;
  };
  CLI::App* app_;
  std::unordered_map<const CLI::Option*, Entry> entries_;
};

// Each adds its subcommand's flags; they write into `result`, which must outlive the flags.
void add_engine_flags(CliFlags& flags, CommandLine& result, bool bench_comm);
// Of the engine's flags, that one.
void add_engine_flag(CliFlags& flags, CommandLine& result, const EngineFlag& flag);
void add_sampling_flags(CliFlags& flags, SamplingParams& sampling);
void add_api_flags(CliFlags& flags, ApiOptions& api);
void add_profile_flags(CliFlags& flags, ProfileOptions& profile);
void add_generate(CliFlags& flags, CommandLine& result);
void add_chat(CliFlags& flags, CommandLine& result);
void add_batch(CliFlags& flags, CommandLine& result);
void add_serve(CliFlags& flags, CommandLine& result);
void add_bench_latency(CliFlags& flags, CommandLine& result);
void add_bench_prefill(CliFlags& flags, CommandLine& result);
void add_bench_throughput(CliFlags& flags, CommandLine& result);
void add_bench_kernels(CliFlags& flags, CommandLine& result);
void add_bench_comm(CliFlags& flags, CommandLine& result);
void add_bench_load(CliFlags& flags, CommandLine& result);
void add_bench_engine(CliFlags& flags, CommandLine& result);
void add_bench_tokenize(CliFlags& flags, CommandLine& result);
void add_plan(CliFlags& flags, CommandLine& result);
void add_doctor(CliFlags& flags, CommandLine& result);
void add_inspect(CliFlags& flags, CommandLine& result);
void add_config(CliFlags& flags, CommandLine& result);
void add_tokenize(CliFlags& flags, CommandLine& result);

}  // namespace lockstep
