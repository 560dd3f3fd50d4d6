#include "config/engine_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "config/flag_values.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

const Choices<DeviceChoice>& devices() {
  static const Choices<DeviceChoice> all = {
      {"auto", DeviceChoice::kAuto}, {"cpu", DeviceChoice::kCpu}, {"cuda", DeviceChoice::kCuda}};
  return all;
}
const Choices<std::string>& dtypes() {
  static const Choices<std::string> all = {
      {"auto", "auto"}, {"float32", "float32"}, {"bfloat16", "bfloat16"}, {"float16", "float16"}};
  return all;
}
const Choices<LoadFormat>& load_formats() {
  static const Choices<LoadFormat> all = {{"auto", LoadFormat::kAuto}, {"dummy", LoadFormat::kDummy}};
  return all;
}
const Choices<Switch>& switches() {
  static const Choices<Switch> all = {{"off", Switch::kOff}, {"on", Switch::kOn}};
  return all;
}

const Choices<AllReduceChoice>& all_reduces() {
  static const Choices<AllReduceChoice> all = {{"auto", AllReduceChoice::kAuto},
                                               {"peer", AllReduceChoice::kPeer},
                                               {"nccl", AllReduceChoice::kNccl},
                                               {"hierarchical", AllReduceChoice::kHierarchical}};
  return all;
}

template <typename E>
EngineFlag choice(std::vector<std::string_view> names, E EngineOptions::*field, const Choices<E>& choices, const char* help,
                  bool comm) {
  return {.names = std::move(names),
          .type = FlagType::kChoice,
          .value_name = choice_names(choices, "|"),
          .help = help,
          .for_bench_comm = comm,
          .set = [field, &choices](EngineOptions& o, std::string_view text) { o.*field = parse_choice(text, choices); },
          .get = [field, &choices](const EngineOptions& o) { return choice_name(o.*field, choices); }};
}

// An integer from 1 on, or, where zero_is_auto, the word auto for 0.
template <typename T>
EngineFlag count(std::vector<std::string_view> names, T EngineOptions::*field, int64_t max, bool zero_is_auto, const char* help,
                 bool comm = false) {
  return {.names = std::move(names),
          .type = FlagType::kInteger,
          .value_name = zero_is_auto ? "N|auto" : "N",
          .help = help,
          .for_bench_comm = comm,
          .set =
              [field, max, zero_is_auto](EngineOptions& o, std::string_view text) {
                o.*field = zero_is_auto && text == "auto" ? T{0} : static_cast<T>(parse_integer(text, 1, max));
              },
          .get =
              [field, zero_is_auto](const EngineOptions& o) {
                return zero_is_auto && o.*field == 0 ? std::string("auto") : std::to_string(o.*field);
              }};
}

EngineFlag number(std::vector<std::string_view> names, double EngineOptions::*field, double max, bool zero_is_auto,
                  const char* value_name, const char* help, bool comm) {
  return {.names = std::move(names),
          .type = FlagType::kNumber,
          .value_name = zero_is_auto ? fmt::format("{}|auto", value_name) : value_name,
          .help = help,
          .for_bench_comm = comm,
          .set =
              [field, max, zero_is_auto](EngineOptions& o, std::string_view text) {
                o.*field = zero_is_auto && text == "auto" ? 0.0 : parse_number(text, {.min = 0.0, .max = max, .open_min = true});
              },
          .get =
              [field, zero_is_auto](const EngineOptions& o) {
                return zero_is_auto && o.*field == 0.0 ? std::string("auto") : fmt::format("{}", o.*field);
              }};
}

EngineFlag boolean(std::vector<std::string_view> names, bool EngineOptions::*field, const char* help) {
  return {.names = std::move(names),
          .type = FlagType::kBoolean,
          .value_name = "true|false",
          .help = help,
          .for_bench_comm = false,
          .set = [field](EngineOptions& o, std::string_view text) { o.*field = parse_switch(text); },
          .get = [field](const EngineOptions& o) { return std::string(o.*field ? "true" : "false"); }};
}

EngineFlag dummy_seed() {
  return {.names = {"dummy-seed"},
          .type = FlagType::kInteger,
          .value_name = "N",
          .help = "Seed of the weights of --load-format dummy",
          .for_bench_comm = false,
          .set = [](EngineOptions& o, std::string_view text) { o.seed = parse_seed(text); },
          .get = [](const EngineOptions& o) { return std::to_string(o.seed); }};
}

// Whether a YAML scalar has the type that the flag wants; "auto" is text everywhere.
bool has_type(const Node& node, const EngineFlag& flag) {
  if (flag.type == FlagType::kBoolean) return node.get_if<bool>() != nullptr;
  const bool is_text = node.get_if<std::string>() != nullptr;
  // An integer above int64 resolves to a number; the flag's own parser judges its range.
  const bool is_number = node.get_if<int64_t>() != nullptr || node.get_if<double>() != nullptr;
  return flag.type == FlagType::kChoice ? is_text : (is_number || (is_text && node.text == "auto"));
}

}  // namespace

const std::vector<EngineFlag>& engine_flags() {
  constexpr double kMaxSeconds = 30 * 86400;
  static const std::vector<EngineFlag> all = {
      choice({"device"}, &EngineOptions::device, devices(), "Where to compute; auto is cuda where there is a GPU", true),
      choice({"dtype"}, &EngineOptions::dtype, dtypes(), "Type of the weights in memory; auto is the checkpoint's", false),
      choice({"load-format"}, &EngineOptions::load_format, load_formats(),
             "auto reads the checkpoint, dummy makes random weights", false),
      dummy_seed(),
      count({"tensor-parallel-size", "tp"}, &EngineOptions::tensor_parallel_size, 65536, true,
            "Ranks that share the model (also -tp N); auto is the number of ranks", true),
      count({"max-model-len"}, &EngineOptions::max_model_len, kMaxInt32, true,
            "Longest context in tokens; auto is the model's, as far as memory allows"),
      count({"max-num-seqs"}, &EngineOptions::max_num_seqs, 65536, false, "Most sequences in one step"),
      count({"max-num-batched-tokens"}, &EngineOptions::max_num_batched_tokens, 1 << 20, true,
            "Most tokens in one step; auto is 8192 on CUDA, 512 on the CPU"),
      count({"block-size"}, &EngineOptions::block_size, 1024, false, "Tokens per block of the KV cache"),
      number({"gpu-memory-utilization"}, &EngineOptions::gpu_memory_utilization, 1.0, false, "F",
             "Share of the GPU's memory that may be used", false),
      number({"kv-cache-memory-gib"}, &EngineOptions::kv_cache_memory_gib, 1 << 20, true, "GIB",
             "Size of the KV cache per rank; auto decides from the memory there is", false),
      count({"threads"}, &EngineOptions::threads, 4096, true,
            "CPU threads per rank; auto is the cores of the host over its ranks"),
      boolean({"enable-prefix-caching"}, &EngineOptions::enable_prefix_caching,
              "Keep the KV blocks of prompts and outputs, and begin where one with the same beginning is known; "
              "--no-enable-prefix-caching: not"),
      choice({"batch-invariant"}, &EngineOptions::batch_invariant, switches(),
             "on: a request's tokens do not depend on what else is in the batch; slower on CUDA, always so on the CPU", false),
      choice({"allreduce"}, &EngineOptions::allreduce, all_reduces(), "Transport of the AllReduce on CUDA", true),
      count({"overlap-tokens"}, &EngineOptions::overlap_tokens, 1 << 20, true,
            "Steps of so many tokens and more run in two halves, whose AllReduces go beside each other's linears; auto is none"),
      number({"init-timeout"}, &EngineOptions::init_timeout_s, kMaxSeconds, false, "SECONDS",
             "Deadline of every wait before the first step", true),
      number({"step-timeout"}, &EngineOptions::step_timeout_s, kMaxSeconds, false, "SECONDS",
             "Deadline of every wait within a step", true),
  };
  return all;
}

const EngineFlag* find_engine_flag(std::string_view name) {
  std::string dashed(name);
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  for (const EngineFlag& flag : engine_flags()) {
    if (std::find(flag.names.begin(), flag.names.end(), dashed) != flag.names.end()) return &flag;
  }
  return nullptr;
}

void apply_engine_settings(const MapReader& engine, EngineOptions& options) {
  std::vector<const EngineFlag*> seen;
  for (const auto& [key, node] : *engine.node().get_if<Node::Map>()) {
    const EngineFlag* flag = find_engine_flag(key);
    if (flag == nullptr) {
      std::vector<std::string_view> names;
      for (const EngineFlag& f : engine_flags()) names.push_back(f.names.front());
      fail("{}:{}: unknown key '{}' with value {}; allowed: {}", engine.file(), node.line, engine.path_of(key), node.describe(),
           fmt::join(names, ", "));
    }
    check(std::find(seen.begin(), seen.end(), flag) == seen.end(), "{}:{}: key '{}' is given twice, as another spelling of '{}'",
          engine.file(), node.line, engine.path_of(key), flag->names.front());
    seen.push_back(flag);
    if (!has_type(node, *flag)) engine.refuse(key, flag->value_name);
    try {
      flag->set(options, node.text);
    } catch (const Error& e) {
      fail("{}:{}: key '{}': {}", engine.file(), node.line, engine.path_of(key), e.what());
    }
  }
}

std::string engine_yaml(const EngineOptions& options) {
  std::string yaml = "engine:\n";
  for (const EngineFlag& flag : engine_flags()) yaml += fmt::format("  {}: {}\n", flag.names.front(), flag.get(options));
  return yaml;
}

}  // namespace lockstep
