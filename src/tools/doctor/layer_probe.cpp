#include "tools/doctor/layer_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/model_runner.h"
#include "engine/rank_memory.h"
#include "partition/partition.h"
#include "weights/weights.h"

namespace lockstep::doctor {
namespace {

constexpr int64_t kBlockSize = 16, kBlocks = 4;
constexpr int32_t kPrompt = 40, kDecodeSteps = 4;
constexpr RunnerLimits kLimits{.max_num_seqs = 1, .max_num_batched_tokens = 64, .max_model_len = kBlockSize * kBlocks};

// Small, but with enough heads, columns and rows that hundreds of ranks each get something.
ModelConfig layer_config(DType dtype) {
  ModelConfig c;
  c.architecture = "LlamaForCausalLM";
  c.vocab_size = 4096;
  c.hidden_size = 512;
  c.intermediate_size = 2048;
  c.num_layers = 1;
  c.num_heads = 8;
  c.num_kv_heads = 4;
  c.head_dim = 64;
  c.max_position_embeddings = 4096;
  c.dtype = dtype;
  return c;
}

uint64_t mix(uint64_t hash, uint32_t bits) { return (hash ^ bits) * 1099511628211ull; }  // FNV-1a over words

int32_t prompt_token(int32_t i) { return (i * 389 + 17) % 4096; }

}  // namespace

size_t layer_all_gather_bytes(int tp) {
  return Sampler::max_all_gather_bytes(layer_config(DType::kFloat32), tp, kLimits.max_num_batched_tokens);
}

LayerResult run_layer(std::unique_ptr<Backend> backend, std::unique_ptr<Communicator> communicator, DType dtype) {
  const ModelConfig config = layer_config(dtype);
  const int tp = communicator->size(), rank = communicator->rank();
  Partition partition = make_partition(config, tp, rank);
  auto weights = std::make_unique<Weights>(*backend, partition, dtype);
  fill_dummy(*weights, partition, /*seed=*/8, *backend);
  backend->synchronize();
  const KvLayout kv = kv_layout(config, partition.share, dtype, kBlockSize);
  ModelRunner runner(config, std::move(partition), std::move(backend), std::move(communicator), std::move(weights), kv, kBlocks,
                     kLimits);

  LayerResult result;
  uint64_t hash = 14695981039346656037ull;
  const auto add = [&](float value) {
    result.logprobs.push_back(value);
    hash = mix(hash, std::bit_cast<uint32_t>(value));
  };
  for (int32_t step = 0; step <= kDecodeSteps; ++step) {
    StepPlan plan;
    plan.step = step;
    PlannedSequence sequence;
    sequence.sample = true;
    sequence.output_index = step;
    if (step == 0) {
      SlotSetup setup;
      setup.sampling.logprobs = 0;
      setup.sampling.prompt_logprobs = 0;
      plan.setups.push_back(setup);
      for (int32_t b = 0; b < kBlocks; ++b) plan.blocks.push_back({0, b, b});
      for (int32_t i = 0; i < kPrompt; ++i) sequence.tokens.push_back(prompt_token(i));
      sequence.prompt_logprobs = kPrompt - 1;
    } else {
      sequence.context_start = kPrompt + step - 1;
      // The same text whatever was chosen, so that rounding alone cannot lead runs apart.
      sequence.tokens.push_back(prompt_token(sequence.context_start));
    }
    plan.sequences.push_back(std::move(sequence));
    const StepResult r = runner.run(plan);
    for (const LogprobResult& l : r.prompt_logprobs) add(l.chosen);
    for (const LogprobResult& l : r.logprobs) add(l.chosen);
    for (const int32_t token : r.tokens) hash = mix(hash, static_cast<uint32_t>(token));
  }
  result.bits = fmt::format("{:016x}", hash);
  return result;
}

std::string to_text(const LayerResults& r) {
  std::vector<uint32_t> alone, together;  // as bits: JSON has no NaN
  for (const float x : r.alone.logprobs) alone.push_back(std::bit_cast<uint32_t>(x));
  for (const float x : r.together.logprobs) together.push_back(std::bit_cast<uint32_t>(x));
  return nlohmann::json{alone, r.alone.bits, together, r.together.bits, r.device}.dump();
}

LayerResults layer_results_from_text(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  const auto floats = [](const nlohmann::json& bits) {
    std::vector<float> values;
    for (const auto& b : bits) values.push_back(std::bit_cast<float>(b.get<uint32_t>()));
    return values;
  };
  return {
      {floats(json[0]), json[1].get<std::string>()}, {floats(json[2]), json[3].get<std::string>()}, json[4].get<std::string>()};
}

Findings check_layer(const Job& job, const std::vector<LayerResults>& results, DType dtype) {
  const auto of = [&](const RankFacts& r) -> const LayerResults& { return results[static_cast<size_t>(r.launch.rank)]; };
  const double allowed = dtype == DType::kFloat32 ? 1e-3 : 0.05;  // of a log-probability near -8
  const auto is_like_first = [&](const LayerResults& r) { return r.device == results.front().device; };
  const bool equal_devices = std::all_of(results.begin(), results.end(), is_like_first);
  Findings findings = same_everywhere(
      job, "one layer alone", Scope::kRank, equal_devices ? Status::kFail : Status::kWarn,
      "results of that rank differ from the others' on the same numbers: other instruction sets or GPU models round "
      "otherwise; on equal ones suspect the memory (ECC) or the device, and drain the host",
      [&](const RankFacts& r) { return of(r).alone.bits; });
  append(findings, same_everywhere(job, "one layer together", Scope::kRank, Status::kFail,
                                   "ranks disagree about the same step, so that texts would be garbled: suspect the links (see "
                                   "AllReduce) and the device of that rank; "
                                   "--allreduce nccl tells peer memory's part from it",
                                   [&](const RankFacts& r) { return of(r).together.bits; }));
  append(findings, judge_each(job, "alone and together", Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
           const auto &a = of(r).alone.logprobs, &b = of(r).together.logprobs;
           double most = 0.0;
           bool sound = !a.empty() && a.size() == b.size();
           for (size_t i = 0; sound && i < a.size(); ++i) {
             sound = std::isfinite(a[i]) && std::isfinite(b[i]);
             most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
           }
           if (sound && most <= allowed)
             return Verdict{Status::kPass, fmt::format("log-probabilities agree within {:g}", allowed), "", ""};
           return Verdict{
               Status::kFail, sound ? fmt::format("log-probabilities differ by {:.3g}", most) : "a log-probability is no number",
               fmt::format("at most {:g}", allowed),
               "all ranks together compute something else than one alone: see AllReduce and ECC; report it with this table"};
         }));
  return findings;
}

}  // namespace lockstep::doctor
