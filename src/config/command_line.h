// CommandLine: what the user typed, parsed and checked. Flag names follow vLLM's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/options.h"

namespace lockstep {

enum class Command {
  kGenerate,
  kChat,
  kBatch,
  kServe,
  kBenchLatency,
  kBenchPrefill,
  kBenchThroughput,
  kBenchKernels,
  kBenchComm,
  kBenchLoad,
  kBenchEngine,
  kBenchTokenize,
  kPlan,
  kDoctor,
  kInspect,
  kConfig,
  kTokenize
};
enum class OutputFormat { kText, kJson };

// One prompt: text, or token ids (never empty).
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

// A trace of some steps.
struct ProfileOptions {
  std::filesystem::path file;  // empty: none
  int32_t steps = 8;           // steps in it
};

struct GenerateOptions {
  std::vector<PromptInput> prompts;    // -p and --prompt-token-ids, in the order typed
  std::filesystem::path prompts_file;  // one more prompt a line; empty: none. At least one prompt or this file is given.
  bool chat = false;                   // put each text prompt through the chat template
  OutputFormat output_format = OutputFormat::kText;
  SamplingParams sampling;
  ProfileOptions profile;  // of the first steps
};

struct ChatOptions {
  ChatOptions() { sampling.max_tokens = 1024; }
  std::string system;  // the system message; empty: none
  SamplingParams sampling;
};

// How requests of OpenAI's API are read, by `batch` and `serve`.
struct ApiOptions {
  std::vector<std::string> served_model_names;  // empty: the model's name
  std::filesystem::path chat_template;          // a file; empty: the model's own
  std::optional<ToolFormat> tool_call_parser;   // absent: the one that the chat template tells
};

// Of an input that several jobs share: line l (from 1) is that of the job with this index where (l - 1) % count == index.
struct BatchShard {
  int32_t index = 0;
  int32_t count = 1;
  bool has(int64_t line) const { return (line - 1) % count == index; }
};

struct BatchOptions : ApiOptions {
  std::filesystem::path input;
  std::filesystem::path output;
  bool ordered = false;  // answers in the order of the lines, else as they are done
  BatchShard shard;
  bool restart = false;               // overwrite what an earlier job has written
  uint64_t seed = 0;                  // of requests that give none
  std::filesystem::path status_file;  // empty: beside the output
  double lock_timeout_s = 30.0;       // for another process to let go of the output
  double drain_timeout_s = 60.0;      // for what has begun, after a signal
};

struct ServeOptions : ApiOptions {
  std::string host = "127.0.0.1";
  int32_t port = 8000;                // 0: any that is free
  std::vector<std::string> api_keys;  // none: everybody may ask
  std::filesystem::path ssl_certfile, ssl_keyfile;
  bool disable_log_requests = false;
  bool enable_log_prompts = false;
  int32_t max_queue = 1024;  // sequences that may wait beyond --max-num-seqs
  int32_t max_connections = 1024;
  int32_t max_body_mib = 32;
  double read_timeout_s = 30.0;
  double keep_alive_timeout_s = 75.0;
  double send_timeout_s = 60.0;
  double request_timeout_s = 0.0;  // 0: none
  double drain_timeout_s = 60.0;
  int32_t http_threads = 2;
};

// What every benchmark that runs a model takes.
struct BenchOptions {
  int32_t repeats = 3;         // measurements of each figure
  double flops_rate = 0.0;     // FLOP/s a rank for the floor; 0: measured
  std::filesystem::path json;  // results also go here; empty: nowhere
  ProfileOptions profile;
  SamplingParams sampling;  // temperature, top_k and top_p
};

struct BenchLatencyOptions : BenchOptions {
  std::vector<int32_t> batch_sizes = {1, 8};  // sequences that decode together
  std::vector<int32_t> contexts = {64};       // tokens that each sequence has before decoding
  int32_t output_len = 148;                   // tokens produced per sequence
  int32_t skip = 20;                          // of them, before the clock starts
};

struct BenchPrefillOptions : BenchOptions {
  struct Shape {
    int32_t batch = 0;
    int32_t length = 0;
    bool operator==(const Shape&) const = default;
  };
  std::vector<Shape> shapes = {{1, 2048}, {4, 2048}, {1, 8000}};  // prompts computed together, and the tokens of each
};

struct BenchThroughputOptions : BenchOptions {
  BenchThroughputOptions() { repeats = 1; }
  int32_t num_requests = 1024;
  int32_t input_len = 256;
  int32_t output_len = 128;
  double range_ratio = 0.0;       // lengths are drawn from length * (1 ± ratio)
  std::filesystem::path dataset;  // requests come from this file; empty: random tokens
  int32_t warmup_requests = 1;    // run before the clock starts
};

struct BenchKernelsOptions : BenchOptions {
  BenchKernelsOptions() { repeats = 10; }
  std::vector<int32_t> tokens = {1, 8, 32, 64, 128, 256, 2048};  // query tokens of a step
  std::vector<int32_t> contexts = {64, 1024, 4096};              // of attention while decoding
  int32_t layers = 0;                                            // layers to cycle through; 0: enough to outgrow the cache
};

struct BenchCommOptions {
  std::vector<int64_t> sizes = {1024, 8192, 14336, 65536, 262144, 1048576, 2097152, 4194304, 16777216};  // bytes of one AllReduce
  std::vector<int64_t> tokens = {1, 8, 64, 256, 2048};  // of a step: sizes where there is a model
  int32_t hidden_size = 3584;                           // of a row, where a norm follows; a model has its own
  int32_t repeats = 20;
  std::filesystem::path json;  // results also go here; empty: nowhere
};

struct BenchTokenizeOptions {
  std::filesystem::path directory;  // holds tokenizer.json
  std::filesystem::path text;       // a file; empty: a text made up by rule
  int32_t megabytes = 16;           // of it
  int32_t repeats = 3;
  std::filesystem::path json;  // results also go here; empty: nowhere
};

struct BenchLoadOptions {
  int32_t repeats = 3;
  bool cold = false;           // drop the files from the page cache before each measurement
  std::filesystem::path json;  // results also go here; empty: nowhere
};

struct BenchEngineOptions {
  std::vector<int32_t> num_seqs = {1, 64, 256};  // sequences that decode together
  int32_t steps = 500;
  int32_t prompt_len = 128;
  int32_t repeats = 5;
  bool prefix_caching = true;
  std::filesystem::path tokenizer;    // turns the tokens into text; empty: nothing does
  std::filesystem::path json_schema;  // a file; all output has this form. Empty: none
  std::filesystem::path json;         // results also go here; empty: nowhere
  bool has_text() const { return !tokenizer.empty(); }
  bool has_form() const { return !json_schema.empty(); }
};

enum class PlanFormat { kText, kMarkdown, kJson };

struct PlanOptions {
  std::string gpu;  // empty: all that are known, in one table
  int32_t gpus_per_node = 8;
  int32_t nodes = 1;
  std::string interconnect;  // empty: the GPU's
  std::string network;       // empty: InfiniBand NDR
  int32_t nics_per_node = 1;
  int32_t tensor_parallel_size = 0;  // 0: every degree up to all GPUs
  std::string dtype = "auto";
  std::string kv_cache_dtype = "auto";
  int32_t quantization_group = 0;  // 0: the format's usual one
  int64_t concurrency = 1;         // sequences at once
  int64_t context = 0;             // of a decode step; 0: 1024, or the longest there may be
  std::vector<int32_t> batch_sizes = {1, 8, 32, 128};
  std::vector<BenchPrefillOptions::Shape> shapes = {{1, 2048}, {64, 2048}};
  double max_latency_ms = 0.0;  // of a token; 0: any
  PlanFormat output_format = PlanFormat::kText;
  std::filesystem::path json;                // results also go here; empty: nowhere
  std::filesystem::path plot;                // an SVG; empty: none
  std::vector<std::filesystem::path> bench;  // results of benchmarks to compare with
};

struct DoctorOptions {
  bool json = false;  // instead of a table
};

struct InspectOptions {
  std::filesystem::path directory;   // a Hugging Face directory
  int32_t tensor_parallel_size = 0;  // 0: only list the tensors
  bool check = false;                // read the weights, and hold configuration, weights and tokenizer to each other
};

struct TokenizeOptions {
  std::filesystem::path directory;  // holds tokenizer.json
  bool add_special_tokens = false;
  bool decode = false;
  bool skip_special_tokens = false;  // with decode: leave special tokens out
  bool json = false;                 // texts are JSON strings, so that they may contain line ends
};

struct CommandLine {
  Command command = Command::kGenerate;
  // Of generate, bench and config: defaults and flags, without the YAML file's `engine:` section; see resolve_engine_options().
  EngineOptions engine;
  std::vector<std::pair<std::string, std::string>> engine_flags;  // the engine flags that were given: name without dashes, value
  bool has_engine_flag(std::string_view name) const {
    return std::any_of(engine_flags.begin(), engine_flags.end(), [&](const auto& flag) { return flag.first == name; });
  }
  GenerateOptions generate;
  ChatOptions chat;
  BatchOptions batch;
  ServeOptions serve;
  BenchLatencyOptions bench_latency;
  BenchPrefillOptions bench_prefill;
  BenchThroughputOptions bench_throughput;
  BenchKernelsOptions bench_kernels;
  BenchCommOptions bench_comm;
  BenchLoadOptions bench_load;
  BenchEngineOptions bench_engine;
  BenchTokenizeOptions bench_tokenize;
  PlanOptions plan;
  DoctorOptions doctor;
  InspectOptions inspect;
  TokenizeOptions tokenize;
};

// The program is to end without doing anything: --help, --version, or an error in what was typed.
struct ExitRequest {
  int code = 0;
  std::string text;        // ends with a newline
  bool to_stderr = false;  // an error; help and version go to stdout
};

// version: what --version prints. Never throws for what the user typed and touches no file, so that every rank can call it and
// only rank 0 print the outcome. Errors name flag, value and what is allowed.
std::variant<CommandLine, ExitRequest> parse_command_line(int argc, const char* const* argv, const std::string& version);

// The engine options in force: the command line wins over the `engine:` section of the model's YAML file (if it is one), which
// wins over the defaults. Throws Error naming file, line, key, value and what is allowed.
EngineOptions resolve_engine_options(const CommandLine& command_line);
// The same where the model's files are known: a YAML file or a directory.
EngineOptions resolve_engine_options(const CommandLine& command_line, const std::filesystem::path& found);

}  // namespace lockstep
