#include "tools/bench_engine.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/statistics.h"
#include "base/trace.h"
#include "engine/engine.h"
#include "text/json_file.h"
#include "tools/bench_run.h"
#include "tools/null_backend.h"

namespace lockstep {
namespace {

constexpr int32_t kBlockSize = 16;
constexpr int32_t kDefaultVocabulary = 32000;
constexpr int32_t kTokensPerStep = 8192;

// What a step consists of on rank 0, as the trace calls it.
constexpr std::array<const char*, 7> kParts = {"schedule", "mask", "broadcast", "stage", "launch", "wait", "output"};

struct Row {
  int32_t num_seqs = 0;
  double first_us = 0.0;  // a step of the first measurement
  double step_us = 0.0;   // the median of all
  std::map<std::string_view, double> part_us;
};

ModelConfig null_model(int32_t vocab_size, int64_t context) {
  ModelConfig c;
  c.architecture = "LlamaForCausalLM";
  c.vocab_size = vocab_size;
  c.hidden_size = 8;
  c.intermediate_size = 16;
  c.num_layers = 1;
  c.num_heads = c.num_kv_heads = 1;
  c.head_dim = 8;
  c.max_position_embeddings = context;
  c.dtype = DType::kBFloat16;
  return c;
}

// What a measurement consists of.
struct Shape {
  int32_t num_seqs = 0;
  int32_t num_skipped = 0;  // first steps, in which the prompts are computed
  int32_t num_steps = 0;    // in all

  Shape(const BenchEngineOptions& options, int32_t sequences) : num_seqs(sequences) {
    constexpr int32_t kSettle = 16;
    const int64_t prompt_steps = (int64_t{sequences} * options.prompt_len + kTokensPerStep - 1) / kTokensPerStep;
    num_skipped = kSettle + static_cast<int32_t>(prompt_steps);
    num_steps = num_skipped + options.steps;
  }
};

std::unique_ptr<ModelRunner> make_runner(const ModelConfig& config, int32_t num_seqs, int64_t context) {
  std::unique_ptr<Backend> backend = make_null_backend(static_cast<int32_t>(config.vocab_size));
  std::unique_ptr<Communicator> comm = make_null_communicator(*backend);  // every rank has a model of its own
  Partition partition = make_partition(config, 1, 0);
  auto weights = std::make_unique<Weights>(*backend, partition, config.dtype);
  KvLayout kv{.num_layers = 1, .kv_heads = 1, .head_dim = config.head_dim, .block_size = kBlockSize, .dtype = config.dtype};
  const RunnerLimits limits{.max_num_seqs = num_seqs, .max_num_batched_tokens = kTokensPerStep, .max_model_len = context};
  const int64_t num_blocks = num_seqs * ((context + kBlockSize - 1) / kBlockSize);
  return std::make_unique<ModelRunner>(config, std::move(partition), std::move(backend), std::move(comm), std::move(weights), kv,
                                       num_blocks, limits);
}

class EngineBench {
 public:
  EngineBench(Engine& engine, const BenchEngineOptions& options, const GrammarSpec& form, int32_t num_seqs, int32_t vocab_size)
      : engine_(engine), options_(options), shape_(options, num_seqs), vocab_size_(vocab_size) {
    params_.max_tokens = shape_.num_steps;
    params_.ignore_eos = true;
    params_.grammar = form;
    if (options.has_text()) params_.stop = {"\xF4\x8F\xBF\xBF never"};
  }

  Row measure() {
    Row row{shape_.num_seqs, 0.0, 0.0, {}};
    std::vector<double> times;
    for (int32_t i = 0; i < options_.repeats; ++i) times.push_back(run());
    row.first_us = times.front();
    row.step_us = median(times);
    // Once more, with the clock that says where the time goes; itself it takes some.
    Trace::start();
    run();
    for (const Trace::Span& span : Trace::stop()) row.part_us[span.name] += static_cast<double>(span.end_ns - span.begin_ns);
    for (auto& [name, us] : row.part_us) us /= 1e3 * shape_.num_steps;
    return row;
  }

 private:
  void add() {
    const uint64_t seed = next_seed_++;
    params_.seed = seed;
    std::vector<int32_t> prompt(static_cast<size_t>(options_.prompt_len));
    for (size_t i = 0; i < prompt.size(); ++i) {
      prompt[i] = static_cast<int32_t>((i * 7919 + seed * 104729) % static_cast<uint64_t>(vocab_size_));
    }
    running_.insert(engine_.add(std::move(prompt), params_));
  }

  // Microseconds of a step.
  double run() {
    for (int32_t s = 0; s < shape_.num_seqs; ++s) add();
    auto start = BenchClock::now();
    for (int32_t step = 0; step < shape_.num_steps; ++step) {
      if (step == shape_.num_skipped) start = BenchClock::now();
      for (const SequenceOutput& out : engine_.step()) {
        if (out.finish == FinishReason::kNone) continue;
        running_.erase(out.id);
        add();  // others run on: so many sequences run in every step
      }
    }
    const double seconds = seconds_between(start, BenchClock::now());
    for (const int64_t id : running_) engine_.cancel(id);
    running_.clear();
    return seconds * 1e6 / options_.steps;
  }

  Engine& engine_;
  const BenchEngineOptions& options_;
  Shape shape_;
  int32_t vocab_size_;
  SamplingParams params_;
  std::set<int64_t> running_;  // requests
  uint64_t next_seed_ = 0;
};

void print(const Row& row) {
  fmt::print("{:>9} {:>9.1f} {:>9.1f}", row.num_seqs, row.first_us, row.step_us);
  for (const char* part : kParts) {
    const auto found = row.part_us.find(part);
    fmt::print(" {:>10.1f}", found == row.part_us.end() ? 0.0 : found->second);
  }
  fmt::print("\n");
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Row& row) {
  nlohmann::ordered_json json = {{"sequences", row.num_seqs}, {"first_us", row.first_us}, {"step_us", row.step_us}};
  for (const char* part : kParts) {
    const auto found = row.part_us.find(part);
    json["parts_us"][part] = found == row.part_us.end() ? 0.0 : found->second;
  }
  return json;
}

}  // namespace

int run_bench_engine(const World& world, const CommandLine& command_line) {
  const BenchEngineOptions& options = command_line.bench_engine;
  std::unique_ptr<Tokenizer> tokenizer;
  GrammarSpec form;
  int64_t vocab_size = kDefaultVocabulary;
  world.phase("reading the tokenizer and the schema", [&] {
    if (!world.is_root() || !options.has_text()) return;
    tokenizer = Tokenizer::load(options.tokenizer);
    vocab_size = tokenizer->vocab_size();
    if (options.has_form()) {
      form = {GrammarKind::kJsonSchema, text::read_file(options.json_schema, "give --json-schema a file with a JSON schema")};
    }
  });
  vocab_size = world.all_max(vocab_size, "the vocabulary");
  EngineOptions engine_options;
  engine_options.enable_prefix_caching = options.prefix_caching;
  nlohmann::ordered_json results = {{"benchmark", "engine"},
                                    {"ranks", world.size()},
                                    {"steps", options.steps},
                                    {"prompt_len", options.prompt_len},
                                    {"text", options.has_text()},
                                    {"form", options.has_form()},
                                    {"prefix_caching", options.prefix_caching},
                                    {"rows", nlohmann::ordered_json::array()}};
  if (world.is_root()) {
    fmt::print(
        "{} rank{}, prompts of {} tokens, {}{}, prefix caching {}; the model does nothing. Microseconds of a step of rank 0:\n",
        world.size(), world.size() == 1 ? "" : "s", options.prompt_len, tokenizer ? "tokens turned into text" : "token ids only",
        options.has_form() ? ", held to a schema" : "", options.prefix_caching ? "on" : "off");
    fmt::print("{:>9} {:>9} {:>9}", "sequences", "first", "step");
    for (const char* part : kParts) fmt::print(" {:>10}", part);
    fmt::print("\n");
  }
  for (const int32_t num_seqs : options.num_seqs) {
    const int64_t context = options.prompt_len + Shape(options, num_seqs).num_steps;
    const ModelConfig config = null_model(static_cast<int32_t>(vocab_size), context);
    const std::unique_ptr<ModelRunner> runner = make_runner(config, num_seqs, context);
    if (!world.is_root()) {
      serve_rank(world, *runner, engine_options);
      continue;
    }
    Engine engine(world, *runner, engine_options, tokenizer.get());
    const Row row = EngineBench(engine, options, form, num_seqs, static_cast<int32_t>(vocab_size)).measure();
    engine.shutdown();
    print(row);
    results["rows"].push_back(to_json(row));
  }
  if (world.is_root()) write_results(options.json, results);
  return 0;
}

}  // namespace lockstep
