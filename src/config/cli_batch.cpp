// The flags of `lockstep batch`.
#include <fmt/format.h>

#include "base/error.h"
#include "config/cli_flags.h"
#include "config/cli_handlers.h"
#include "config/flag_values.h"

namespace lockstep {
namespace {

constexpr int32_t kMaxShards = 1 << 20;
constexpr double kMaxSeconds = 30 * 86400;

// "I/N", 0 <= I < N.
BatchShard parse_shard(const std::string& text) {
  const size_t slash = text.find('/');
  check(slash != std::string::npos, "'{}' is not allowed; allowed: I/N, with I from 0 to N - 1", text);
  BatchShard shard;
  shard.count = static_cast<int32_t>(parse_integer(text.substr(slash + 1), 1, kMaxShards));
  shard.index = static_cast<int32_t>(parse_integer(text.substr(0, slash), 0, shard.count - 1));
  return shard;
}

}  // namespace

void add_batch(CliFlags& flags, CommandLine& result) {
  BatchOptions& b = result.batch;
  add_model(flags, result);
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  flags
      .value("-i,--input-file", "FILE", "Requests, one a line: OpenAI's batch lines, or bodies with a prompt or messages",
             into_text(b.input, "a file"))
      ->required();
  flags
      .value("-o,--output-file", "FILE", "Answers, one a line, as OpenAI's batch output has them", into_text(b.output, "a file"))
      ->required();
  flags.flag("--ordered", "Answers in the order of the requests, not as they are done", b.ordered);
  flags.value("--shard", "I/N", "Only every N-th line, the I-th first, I from 0; for job arrays",
              [&b](const std::string& text) { b.shard = parse_shard(text); });
  flags.flag("--restart", "Begin anew, and overwrite the output of an earlier job", b.restart);
  flags.value("--seed", "N", "Requests without a seed get theirs from this and the number of their line (default: 0)",
              [&b](const std::string& text) { b.seed = parse_seed(text); });
  add_api_flags(flags, b);
  flags.value("--status-file", "FILE", "Written every second, JSON (default: the output's name and .status.json)",
              into_text(b.status_file, "a file"));
  flags.value("--lock-timeout", "SECONDS",
              fmt::format("Wait so long for another process that writes the output (default: {})", b.lock_timeout_s),
              into_number(b.lock_timeout_s, {.min = 0, .max = kMaxSeconds}));
  flags.value("--drain-timeout", "SECONDS",
              fmt::format("After SIGTERM or SIGUSR1, finish what has begun for so long (default: {})", b.drain_timeout_s),
              into_number(b.drain_timeout_s, {.min = 0, .max = kMaxSeconds}));
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "Killed at any moment and started again with the same command, it goes on where it was. A line that is wrong gets an "
      "answer\n"
      "with an error, and the job goes on. Exit code: 0 when every line has its answer; 75 when a signal ended it before (start "
      "it\n"
      "again; launch/slurm/batch.sbatch requeues itself); 1 for an error.\n"
      "Examples:\n"
      "  mpirun -np 2 lockstep batch --model DIR -i in.jsonl -o out.jsonl\n"
      "  echo '{\"prompt\": \"The capital of France is\", \"max_tokens\": 8}' > in.jsonl");
}

}  // namespace lockstep
