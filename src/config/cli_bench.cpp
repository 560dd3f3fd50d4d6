// The flags of the benchmarks that run a model.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "config/cli_flags.h"
#include "config/cli_handlers.h"
#include "config/flag_values.h"

namespace lockstep {
namespace {

void add_results(CliFlags& flags, BenchOptions& b) {
  flags.value("--repeats", "N", fmt::format("Measurements of each figure (default: {})", b.repeats),
              into_integer(b.repeats, 1, 100000));
  flags.value(
      "--flops-rate", "TFLOPS", "Arithmetic of a rank for the floor, in TFLOP/s (default: measured by a GEMM)",
      [&b](const std::string& text) { b.flops_rate = parse_number(text, {.min = 0.0, .max = 1e6, .open_min = true}) * 1e12; });
  flags.value("--json", "FILE", "Write the results here, too", into_text(b.json, "a file"));
}

// What benchmarks have in common that go through the engine.
void add_running(CliFlags& flags, BenchOptions& b) {
  add_profile_flags(flags, b.profile);
  flags.value("--temperature", "T", "0 takes the likeliest token (default: 0)",
              into_number(b.sampling.temperature, {.min = 0, .max = 100}));
  flags.value("--top-k", "K", "Sample from the K likeliest tokens; 0: off (default: 0)",
              into_integer(b.sampling.top_k, 0, kMaxInt32));
  flags.value("--top-p", "P", "Sample from the likeliest tokens that make up this probability (default: 1)",
              into_number(b.sampling.top_p, {.min = 0, .max = 1, .open_min = true}));
}

constexpr const char* kFloorNote =
    "The floor of a step is the sum over its operations of max(bytes / read bandwidth, FLOPs / --flops-rate) on the busiest\n"
    "rank: weights and KV; neither activations nor the AllReduces are in it. The bandwidth is measured on the weights.\n";

}  // namespace

void add_profile_flags(CliFlags& flags, ProfileOptions& profile) {
  flags.value("--profile", "FILE", "Write a trace of some steps of rank 0 here (Chrome's format: open it in Perfetto)",
              into_text(profile.file, "a file"));
  flags.value("--profile-steps", "N", fmt::format("Steps in the trace (default: {})", profile.steps),
              into_integer(profile.steps, 1, 10000));
}

void add_bench_latency(CliFlags& flags, CommandLine& result) {
  BenchLatencyOptions& b = result.bench_latency;
  add_model(flags, result);
  flags.value("--batch-sizes", "N,...",
              fmt::format("Sequences that decode together (default: {})", fmt::join(b.batch_sizes, ",")),
              into_integers(b.batch_sizes, 1, 65536));
  flags.value("--context", "N,...",
              fmt::format("Tokens that each sequence has before decoding (default: {})", fmt::join(b.contexts, ",")),
              into_integers(b.contexts, 1, kMaxInt32));
  flags.value("--output-len", "N", fmt::format("Tokens to produce per sequence (default: {})", b.output_len),
              into_integer(b.output_len, 2, kMaxInt32));
  flags.value("--skip", "N",
              fmt::format("Of them, tokens before the clock starts; fewer than --output-len (default: {})", b.skip),
              into_integer(b.skip, 1, kMaxInt32));
  add_results(flags, b);
  add_running(flags, b);
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      std::string("All batch sizes are combined with all contexts. A step's time is (time until all sequences have "
                  "--output-len tokens -\ntime until all have --skip) / (--output-len - --skip).\n") +
      kFloorNote +
      "Example:\n"
      "  lockstep bench latency --model qwen2.5-0.5b --load-format dummy --batch-sizes 1,8,64 --context 64,4000");
}

void add_bench_prefill(CliFlags& flags, CommandLine& result) {
  BenchPrefillOptions& b = result.bench_prefill;
  add_model(flags, result);
  flags.value("--shapes", "BxN,...",
              fmt::format("Prompts that are computed together, and the tokens of each (default: {})", describe(b.shapes)),
              into_shapes(b.shapes));
  add_results(flags, b);
  add_running(flags, b);
  add_engine_flags(flags, result, false);
  flags.app()->footer(std::string("The time is that from the prompts to the first token of all.\n") + kFloorNote +
                      "Example:\n  lockstep bench prefill --model qwen2.5-0.5b --load-format dummy --shapes 1x512,4x512");
}

void add_bench_throughput(CliFlags& flags, CommandLine& result) {
  BenchThroughputOptions& b = result.bench_throughput;
  add_model(flags, result);
  flags.value("--num-requests", "N", fmt::format("Requests; of a dataset, the first N (default: {})", b.num_requests),
              into_integer(b.num_requests, 1, kMaxInt32));
  flags.value("--input-len", "N", fmt::format("Tokens of a random prompt (default: {})", b.input_len),
              into_integer(b.input_len, 1, kMaxInt32));
  flags.value("--output-len", "N",
              fmt::format("Tokens to produce for each request that does not say so itself (default: {})", b.output_len),
              into_integer(b.output_len, 1, kMaxInt32));
  flags.value("--range-ratio", "R", "Draw the lengths of random requests evenly from length * (1 - R) to length * (1 + R)",
              into_number(b.range_ratio, {.min = 0, .max = 1}));
  flags.value("--dataset", "FILE",
              "Requests: ShareGPT's JSON array, or JSON lines with prompt, messages or prompt_token_ids, and max_tokens",
              into_text(b.dataset, "a file"));
  flags.value("--warmup-requests", "N", fmt::format("Requests to run before the clock starts (default: {})", b.warmup_requests),
              into_integer(b.warmup_requests, 1, 65536));
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  add_results(flags, b);
  add_running(flags, b);
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "An end of sequence ends nothing here, so that every request produces what it asked for. The floor is all FLOPs over\n"
      "--flops-rate or all bytes (weights once a step, and KV) over the read bandwidth, whichever is more.\n"
      "Examples:\n"
      "  lockstep bench throughput --model qwen2.5-0.5b --load-format dummy --num-requests 64\n"
      "  lockstep bench throughput --model DIR --dataset ShareGPT_V3_unfiltered_cleaned_split.json --num-requests 1000");
}

void add_bench_load(CliFlags& flags, CommandLine& result) {
  BenchLoadOptions& b = result.bench_load;
  add_model(flags, result);
  flags.value("--repeats", "N", fmt::format("Measurements, of which the best counts (default: {})", b.repeats),
              into_integer(b.repeats, 1, 100000));
  flags.flag("--cold", "Drop the files from the page cache before each measurement, so that the disk is measured", b.cold);
  flags.value("--json", "FILE", "Write the results here, too", into_text(b.json, "a file"));
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "All ranks load at once, as when a model is brought up. Beside it: the same reads by as many threads into a few buffers\n"
      "that are used again and again, which is what the page cache or the disk gives; and, on the CPU, how fast memory is\n"
      "written for the first time, which no loader can do without.\n"
      "Example:\n  mpirun -np 2 lockstep bench load --model DIR");
}

void add_bench_engine(CliFlags& flags, CommandLine& result) {
  BenchEngineOptions& b = result.bench_engine;
  flags.value("--batch-size", "N,...", fmt::format("Sequences that decode together (default: {})", fmt::join(b.num_seqs, ",")),
              into_integers(b.num_seqs, 1, 65536));
  flags.value("--steps", "N", fmt::format("Steps of each measurement (default: {})", b.steps),
              into_integer(b.steps, 100, 1000000));
  flags.value("--input-len", "N", fmt::format("Tokens of a prompt (default: {})", b.prompt_len),
              into_integer(b.prompt_len, 1, 1 << 20));
  flags.value("--repeats", "N", fmt::format("Measurements of each figure (default: {})", b.repeats),
              into_integer(b.repeats, 1, 100000));
  flags.value("--tokenizer", "DIR", "Turn the tokens into text with this tokenizer, and look for a stop string in it",
              into_text(b.tokenizer, "a directory"));
  flags.value("--json-schema", "FILE",
              "Hold all sequences to JSON of this schema; one that has come to its end is followed by a new one",
              into_text(b.json_schema, "a file"));
  flags.flag("--enable-prefix-caching,!--no-enable-prefix-caching", "As for the engine (default: true)", b.prefix_caching);
  flags.value("--json", "FILE", "Write the results here, too", into_text(b.json, "a file"));
  flags.app()->footer(
      "Everything is as it is for a GPU, two steps in flight, but the model's operations do nothing: what remains is what the\n"
      "engine adds.\n"
      "Example:\n  mpirun -np 2 lockstep bench engine --tokenizer DIR");
}

void add_bench_kernels(CliFlags& flags, CommandLine& result) {
  BenchKernelsOptions& b = result.bench_kernels;
  add_model(flags, result);
  flags.value("--tokens", "N,...", fmt::format("Query tokens of a step (default: {})", fmt::join(b.tokens, ",")),
              into_integers(b.tokens, 1, 1 << 20));
  flags.value("--context", "N,...", fmt::format("Context of attention while decoding (default: {})", fmt::join(b.contexts, ",")),
              into_integers(b.contexts, 1, kMaxInt32));
  flags.value("--layers", "N",
              "Layers to make and cycle through; by default the model's, and on CUDA more where their weights would stay in the "
              "cache",
              into_integer(b.layers, 1, 4096));
  add_results(flags, b);
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "The weights are random, whatever --load-format says. A time is that of one call among many, each on another layer's\n"
      "weights and KV. The floor is max(bytes of all operands / read bandwidth, FLOPs / --flops-rate); operations on "
      "activations\n"
      "alone may beat it, as a step's activations stay in the cache.\n"
      "Example:\n"
      "  lockstep bench kernels --model qwen2.5-7b --tokens 1,64");
}

}  // namespace lockstep
