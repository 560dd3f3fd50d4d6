#include "config/command_line.h"

#include <limits>

#include "temp_dir.h"

namespace lockstep {
namespace {

std::variant<CommandLine, ExitRequest> parse(std::vector<std::string> args) {
  std::vector<const char*> argv = {"lockstep"};
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  return parse_command_line(static_cast<int>(argv.size()), argv.data(), "lockstep 9.9");
}

CommandLine parsed(const std::vector<std::string>& args) {
  const auto result = parse(args);
  if (const ExitRequest* exit = std::get_if<ExitRequest>(&result)) {
    ADD_FAILURE() << exit->text;
    return {};
  }
  return std::get<CommandLine>(result);
}

ExitRequest exited(const std::vector<std::string>& args) {
  const auto result = parse(args);
  if (std::holds_alternative<CommandLine>(result)) {
    std::string line;
    for (const std::string& arg : args) line += arg + " ";
    ADD_FAILURE() << "accepted: " << line;
    return {};
  }
  return std::get<ExitRequest>(result);
}

// `generate --model m -p x` and more.
std::vector<std::string> generate(const std::vector<std::string>& more = {}) {
  std::vector<std::string> args = {"generate", "--model", "m", "-p", "x"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

void expect_refused(const std::vector<std::string>& args, const std::vector<std::string>& parts) {
  const ExitRequest exit = exited(args);
  EXPECT_EQ(exit.code, 2);
  EXPECT_TRUE(exit.to_stderr);
  EXPECT_TRUE(exit.text.ends_with("\n"));
  expect_contains(exit.text, parts);
}

TEST(CommandLineTest, GenerateDefaults) {
  const CommandLine line = parsed(generate());
  EXPECT_EQ(line.command, Command::kGenerate);
  EngineOptions engine;
  engine.model = "m";
  EXPECT_EQ(line.engine, engine);
  EXPECT_TRUE(line.engine_flags.empty());
  EXPECT_EQ(line.generate.prompts, std::vector<PromptInput>{std::string("x")});
  EXPECT_FALSE(line.generate.chat);
  EXPECT_EQ(line.generate.output_format, OutputFormat::kText);
  EXPECT_EQ(line.generate.sampling.max_tokens, 128);
  EXPECT_EQ(line.generate.sampling.temperature, 0.0f);
  EXPECT_FALSE(line.generate.sampling.seed.has_value());
  EXPECT_EQ(line.generate.sampling.logprobs, -1);
}

TEST(CommandLineTest, GenerateWithEverything) {
  const CommandLine line = parsed({"generate",
                                   "--model",
                                   "dir",
                                   "--tokenizer",
                                   "tok",
                                   "--prompts",
                                   "file",
                                   "--chat",
                                   "--device",
                                   "cpu",
                                   "--dtype",
                                   "bfloat16",
                                   "--load-format",
                                   "dummy",
                                   "--max-tokens",
                                   "9",
                                   "--min-tokens",
                                   "3",
                                   "--temperature",
                                   "0.5",
                                   "--top-k",
                                   "40",
                                   "--top-p",
                                   "0.9",
                                   "--min-p",
                                   "0.1",
                                   "--repetition-penalty",
                                   "1.1",
                                   "--presence-penalty",
                                   "-0.5",
                                   "--frequency-penalty",
                                   "2",
                                   "--seed",
                                   "18446744073709551615",
                                   "--stop",
                                   "a",
                                   "--stop",
                                   "b",
                                   "--stop-token-ids",
                                   "4,5",
                                   "--stop-token-ids",
                                   "6",
                                   "--ignore-eos",
                                   "--logprobs",
                                   "0",
                                   "--output-format",
                                   "json",
                                   "-tp",
                                   "4",
                                   "--init-timeout",
                                   "1.5",
                                   "--step-timeout",
                                   "2",
                                   "--max-model-len",
                                   "1024",
                                   "--max-num-seqs",
                                   "8",
                                   "--max-num-batched-tokens",
                                   "64",
                                   "--block-size",
                                   "32",
                                   "--gpu-memory-utilization",
                                   "0.8",
                                   "--kv-cache-memory-gib",
                                   "2",
                                   "--threads",
                                   "6",
                                   "--allreduce",
                                   "nccl",
                                   "--dummy-seed",
                                   "5"});
  EXPECT_EQ(line.engine.model, "dir");
  EXPECT_EQ(line.engine.tokenizer, "tok");
  EXPECT_EQ(line.generate.prompts_file, "file");
  EXPECT_TRUE(line.generate.chat);
  EXPECT_EQ(line.engine.device, DeviceChoice::kCpu);
  EXPECT_EQ(line.engine.dtype, "bfloat16");
  EXPECT_EQ(line.engine.load_format, LoadFormat::kDummy);
  const SamplingParams& s = line.generate.sampling;
  EXPECT_EQ(s.max_tokens, 9);
  EXPECT_EQ(s.min_tokens, 3);
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.top_p, 0.9f);
  EXPECT_EQ(s.min_p, 0.1f);
  EXPECT_EQ(s.repetition_penalty, 1.1f);
  EXPECT_EQ(s.presence_penalty, -0.5f);
  EXPECT_EQ(s.frequency_penalty, 2.0f);
  EXPECT_EQ(s.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(s.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(s.stop_token_ids, (std::vector<int32_t>{4, 5, 6}));
  EXPECT_TRUE(s.ignore_eos);
  EXPECT_EQ(s.logprobs, 0);
  EXPECT_EQ(line.generate.output_format, OutputFormat::kJson);
  EXPECT_EQ(line.engine.tensor_parallel_size, 4);
  EXPECT_EQ(line.engine.init_timeout_s, 1.5);
  EXPECT_EQ(line.engine.step_timeout_s, 2.0);
  EXPECT_EQ(line.engine.max_model_len, 1024);
  EXPECT_EQ(line.engine.max_num_seqs, 8);
  EXPECT_EQ(line.engine.max_num_batched_tokens, 64);
  EXPECT_EQ(line.engine.block_size, 32);
  EXPECT_EQ(line.engine.gpu_memory_utilization, 0.8);
  EXPECT_EQ(line.engine.kv_cache_memory_gib, 2.0);
  EXPECT_EQ(line.engine.threads, 6);
  EXPECT_EQ(line.engine.allreduce, AllReduceChoice::kNccl);
  EXPECT_EQ(line.engine.seed, 5u);
  EXPECT_EQ(resolve_engine_options(parsed({"bench", "comm", "--allreduce", "peer"})).allreduce, AllReduceChoice::kPeer);
}

TEST(CommandLineTest, PromptsKeepTheirOrderAndTheirBytes) {
  const std::vector<std::string> odd = {"",      "{}",  "[a,b]",      "%%",          "-5 is", "--help", "-tp",
                                        "-tp=3", "a,b", "\"quoted\"", "line\nbreak", "é",     "--x="};
  std::vector<std::string> args = {"generate", "--model", "m"};
  std::vector<PromptInput> expected;
  for (const std::string& text : odd) {
    args.insert(args.end(), {"-p", text, "--prompt-token-ids", "1,2"});
    expected.emplace_back(text);
    expected.emplace_back(std::vector<int32_t>{1, 2});
  }
  args.insert(args.end(), {"--prompt=same", "--prompt=", "--prompt-token-ids=7", "--prompt", "last"});
  expected.emplace_back("same");
  expected.emplace_back("");
  expected.emplace_back(std::vector<int32_t>{7});
  expected.emplace_back("last");
  EXPECT_EQ(parsed(args).generate.prompts, expected);
  // One occurrence is one prompt; a further word is not swallowed.
  expect_refused(generate({"y"}), {"y"});
}

TEST(CommandLineTest, TensorParallelSpellings) {
  for (const std::vector<std::string>& spelling : {std::vector<std::string>{"-tp", "3"},
                                                   {"-tp=3"},
                                                   {"--tp", "3"},
                                                   {"--tp=3"},
                                                   {"--tensor-parallel-size", "3"},
                                                   {"--tensor-parallel-size=3"}}) {
    EXPECT_EQ(parsed(generate(spelling)).engine.tensor_parallel_size, 3) << spelling.front();
    std::vector<std::string> args = {"inspect", "dir"};
    args.insert(args.end(), spelling.begin(), spelling.end());
    EXPECT_EQ(parsed(args).inspect.tensor_parallel_size, 3) << spelling.front();
  }
  expect_refused(generate({"-tp", "2", "--tp", "2"}), {"tensor-parallel-size", "2 times"});
}

TEST(CommandLineTest, BadValuesNameFlagValueAndRange) {
  struct Case {
    const char* flag;
    std::vector<const char*> values;
    const char* range;
  };
  const std::vector<Case> cases = {
      {"--device", {"gpu", "", "CPU"}, "auto, cpu, cuda"},
      {"--dtype", {"fp32", "int8"}, "auto, float32, bfloat16, float16"},
      {"--load-format", {"gguf"}, "auto, dummy"},
      {"--allreduce", {"mpi"}, "auto, peer, nccl"},
      {"--output-format", {"xml"}, "text, json"},
      {"--max-tokens", {"0", "-1", "1.5", "x", "2147483648", "0x10", "1e3", " 5", "5 ", ""}, "an integer from 1 to 2147483647"},
      {"--min-tokens", {"-1", "x"}, "an integer from 0 to 2147483647"},
      {"--temperature", {"-0.1", "nan", "inf", "x", "1e400", "101"}, "a number from 0 to 100"},
      {"--top-k", {"-1", "1.5"}, "an integer from 0"},
      {"--top-p", {"0", "1.01", "nan", "-1"}, "a number above 0 and at most 1"},
      {"--min-p", {"-0.1", "1.1", "nan"}, "a number from 0 to 1"},
      {"--repetition-penalty", {"0", "-1", "nan", "inf"}, "a number above 0"},
      {"--presence-penalty", {"2.1", "-2.1", "nan"}, "a number from -2 to 2"},
      {"--frequency-penalty", {"2.1", "-2.1"}, "a number from -2 to 2"},
      {"--seed", {"-1", "18446744073709551616", "1.0"}, "an integer from 0 to 18446744073709551615"},
      {"--stop", {""}, "not empty"},
      {"--stop-token-ids", {"", "1,,2", "1;2", "-1", "2147483648", "1,"}, "integers from 0 to 2147483647"},
      {"--prompt-token-ids", {"", "a", "1,-2", ",1", "1 2"}, "integers from 0 to 2147483647"},
      {"--logprobs", {"-1", "21"}, "an integer from 0 to 20"},
      {"--tensor-parallel-size", {"0", "-1", "65537", "two"}, "an integer from 1 to 65536"},
      {"--init-timeout", {"0", "-1", "nan", "inf", "never"}, "a number above 0"},
      {"--step-timeout", {"0", "1e9"}, "a number above 0"},
      {"--max-model-len", {"0", "x"}, "an integer from 1"},
      {"--max-num-seqs", {"0", "auto"}, "an integer from 1"},
      {"--max-num-batched-tokens", {"0"}, "an integer from 1"},
      {"--block-size", {"0", "1025"}, "an integer from 1 to 1024"},
      {"--gpu-memory-utilization", {"0", "1.1", "nan"}, "a number above 0 and at most 1"},
      {"--kv-cache-memory-gib", {"0", "-1"}, "a number above 0"},
      {"--threads", {"0", "-2", "4097"}, "an integer from 1 to 4096"},
      {"--dummy-seed", {"-1"}, "an integer from 0"},
      {"--model", {""}, ""},
  };
  for (const Case& c : cases) {
    for (const char* value : c.values) {
      std::vector<std::string> args = {"generate", "-p", "x", c.flag, value};
      if (std::string(c.flag) != "--model") args.insert(args.begin() + 1, {"--model", "m"});
      expect_refused(args, {c.flag, "'" + std::string(value) + "'", "allowed: ", c.range});
    }
  }
}

TEST(CommandLineTest, WhatIsMissingOrTooMuchIsRefused) {
  expect_refused({}, {"subcommand"});
  expect_refused({"serve"}, {"serve"});
  expect_refused({"generate", "-p", "x"}, {"--model"});
  expect_refused({"generate", "--model", "m"}, {"no prompt", "--prompt-token-ids"});
  expect_refused({"generate", "--model"}, {"--model"});
  expect_refused(generate({"--no-such-flag"}), {"--no-such-flag"});
  expect_refused(generate({"--model", "n"}), {"--model", "2 times"});
  expect_refused(generate({"--top-k", "1", "--top-k", "2"}), {"--top-k", "2 times"});
  expect_refused(generate({"--max-tokens", "5", "--min-tokens", "6"}), {"--min-tokens is 6", "at most --max-tokens, 5"});
  expect_refused({"inspect"}, {"DIR"});
  expect_refused({"inspect", "a", "b"}, {"b"});
  expect_refused({"bench"}, {"subcommand"});
  for (const char* which : {"latency", "prefill", "throughput", "kernels"}) expect_refused({"bench", which}, {"--model"});
  expect_refused({"bench", "comm", "--model"}, {"--model"});
  expect_refused({"bench", "comm", "--max-num-seqs", "4"}, {"--max-num-seqs"});
  expect_refused({"tokenize"}, {"--model"});
  expect_refused({"config"}, {"--model"});
}

TEST(CommandLineTest, Benchmarks) {
  const CommandLine latency =
      parsed({"bench",         "latency", "--model",      "m",   "--batch-sizes", "1,2,64", "--context",       "100,200",
              "--output-len",  "7",       "--skip",       "3",   "--repeats",     "2",      "--json",          "out.json",
              "--load-format", "dummy",   "--flops-rate", "690", "--profile",     "t.json", "--profile-steps", "5",
              "--temperature", "0.5"});
  EXPECT_EQ(latency.command, Command::kBenchLatency);
  EXPECT_EQ(latency.bench_latency.batch_sizes, (std::vector<int32_t>{1, 2, 64}));
  EXPECT_EQ(latency.bench_latency.contexts, (std::vector<int32_t>{100, 200}));
  EXPECT_EQ(latency.bench_latency.output_len, 7);
  EXPECT_EQ(latency.bench_latency.skip, 3);
  EXPECT_EQ(latency.bench_latency.repeats, 2);
  EXPECT_EQ(latency.bench_latency.json, "out.json");
  EXPECT_EQ(latency.bench_latency.flops_rate, 690e12);
  EXPECT_EQ(latency.bench_latency.profile.file, "t.json");
  EXPECT_EQ(latency.bench_latency.profile.steps, 5);
  EXPECT_EQ(latency.bench_latency.sampling.temperature, 0.5f);
  EXPECT_EQ(latency.engine.load_format, LoadFormat::kDummy);
  expect_refused({"bench", "latency", "--model", "m", "--batch-sizes", "1,0"}, {"--batch-sizes", "'1,0'", "integers from 1"});
  expect_refused({"bench", "latency", "--model", "m", "--output-len", "20"}, {"--skip is 20", "less than --output-len, 20"});
  expect_refused({"bench", "latency", "--model", "m", "--flops-rate", "0"}, {"--flops-rate", "'0'"});

  using Shape = BenchPrefillOptions::Shape;
  const CommandLine prefill = parsed({"bench", "prefill", "--model", "m", "--shapes", "1x512,4x7"});
  EXPECT_EQ(prefill.command, Command::kBenchPrefill);
  EXPECT_EQ(prefill.bench_prefill.shapes, (std::vector<Shape>{{1, 512}, {4, 7}}));
  EXPECT_EQ(parsed({"bench", "prefill", "--model", "m"}).bench_prefill.shapes,
            (std::vector<Shape>{{1, 2048}, {4, 2048}, {1, 8000}}));
  for (const char* wrong : {"512", "1x", "x2", "1x2,", "1x0", "0x1", "1x2x3", "1,2", ""}) {
    expect_refused({"bench", "prefill", "--model", "m", "--shapes", wrong}, {"--shapes", "allowed"});
  }

  const CommandLine throughput = parsed({"bench", "throughput", "--model", "m", "--num-requests", "9", "--input-len", "8",
                                         "--output-len", "7", "--range-ratio", "0.5", "--dataset", "d.jsonl"});
  EXPECT_EQ(throughput.command, Command::kBenchThroughput);
  EXPECT_EQ(throughput.bench_throughput.num_requests, 9);
  EXPECT_EQ(throughput.bench_throughput.input_len, 8);
  EXPECT_EQ(throughput.bench_throughput.output_len, 7);
  EXPECT_EQ(throughput.bench_throughput.range_ratio, 0.5);
  EXPECT_EQ(throughput.bench_throughput.dataset, "d.jsonl");
  EXPECT_EQ(throughput.bench_throughput.repeats, 1);
  expect_refused({"bench", "throughput", "--model", "m", "--range-ratio", "1.1"}, {"--range-ratio", "from 0 to 1"});

  const CommandLine kernels = parsed({"bench", "kernels", "--model", "m", "--tokens", "1,5", "--context", "6", "--layers", "2"});
  EXPECT_EQ(kernels.command, Command::kBenchKernels);
  EXPECT_EQ(kernels.bench_kernels.tokens, (std::vector<int32_t>{1, 5}));
  EXPECT_EQ(kernels.bench_kernels.contexts, (std::vector<int32_t>{6}));
  EXPECT_EQ(kernels.bench_kernels.layers, 2);
}

TEST(CommandLineTest, OtherCommands) {
  const CommandLine with_model = parsed({"bench", "comm", "--model", "m", "--tokens", "1,64"});
  EXPECT_EQ(with_model.engine.model, "m");
  EXPECT_EQ(with_model.bench_comm.tokens, (std::vector<int64_t>{1, 64}));
  const CommandLine comm = parsed({"bench", "comm", "--sizes", "8192,65536", "--repeats", "3", "--device", "cpu"});
  EXPECT_EQ(comm.command, Command::kBenchComm);
  EXPECT_EQ(comm.bench_comm.sizes, (std::vector<int64_t>{8192, 65536}));
  EXPECT_EQ(comm.bench_comm.repeats, 3);
  EXPECT_EQ(comm.engine.device, DeviceChoice::kCpu);

  const CommandLine inspect = parsed({"inspect", "dir"});
  EXPECT_EQ(inspect.command, Command::kInspect);
  EXPECT_EQ(inspect.inspect.directory, "dir");
  EXPECT_EQ(inspect.inspect.tensor_parallel_size, 0);
  EXPECT_FALSE(inspect.inspect.check);
  EXPECT_TRUE(parsed({"inspect", "dir", "--check", "-tp", "2"}).inspect.check);

  EXPECT_EQ(parsed({"config", "--model", "m", "--dtype", "float16"}).command, Command::kConfig);

  const CommandLine tokenize = parsed({"tokenize", "--model", "dir", "--add-special-tokens", "--decode"});
  EXPECT_EQ(tokenize.command, Command::kTokenize);
  EXPECT_EQ(tokenize.tokenize.directory, "dir");
  EXPECT_TRUE(tokenize.tokenize.add_special_tokens && tokenize.tokenize.decode);
  EXPECT_FALSE(parsed({"tokenize", "--model", "dir"}).tokenize.add_special_tokens);
}

TEST(CommandLineTest, HelpAndVersionGoToStdout) {
  const ExitRequest version = exited({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_FALSE(version.to_stderr);
  EXPECT_EQ(version.text, "lockstep 9.9\n");

  const ExitRequest help = exited({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_FALSE(help.to_stderr);
  expect_contains(help.text,
                  {"mpirun -np 2 lockstep generate", "generate", "bench", "inspect", "config", "tokenize", "--version"});

  const ExitRequest generate_help = exited({"generate", "--help"});
  EXPECT_EQ(generate_help.code, 0);
  for (const char* flag : {"--model",
                           "--tokenizer",
                           "--prompt",
                           "--prompts",
                           "--prompt-token-ids",
                           "--chat",
                           "--device",
                           "--dtype",
                           "--load-format",
                           "--max-tokens",
                           "--min-tokens",
                           "--temperature",
                           "--top-k",
                           "--top-p",
                           "--min-p",
                           "--repetition-penalty",
                           "--presence-penalty",
                           "--frequency-penalty",
                           "--seed",
                           "--stop",
                           "--stop-token-ids",
                           "--ignore-eos",
                           "--logprobs",
                           "--output-format",
                           "--tensor-parallel-size",
                           "--tp",
                           "--init-timeout",
                           "--step-timeout",
                           "--max-model-len",
                           "--max-num-seqs",
                           "--max-num-batched-tokens",
                           "--block-size",
                           "--gpu-memory-utilization",
                           "--kv-cache-memory-gib",
                           "--threads",
                           "--allreduce"}) {
    expect_contains(generate_help.text, {flag});
  }
  expect_contains(exited({"bench", "latency", "-h"}).text, {"--batch-sizes", "(default: 1,8)"});
}

}  // namespace
}  // namespace lockstep
