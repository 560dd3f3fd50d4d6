#include "tools/doctor/model_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/rank_memory.h"
#include "partition/partition.h"
#include "text/tokenizer.h"
#include "tools/doctor/checks.h"
#include "weights/coverage.h"
#include "weights/safetensors.h"

namespace lockstep::doctor {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModelFacts, problem, fingerprint, checkpoint_bytes, has_end)

std::string to_text(const ModelFacts& facts) {
  return nlohmann::json(facts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ModelFacts model_facts_from_text(const std::string& text) { return nlohmann::json::parse(text).get<ModelFacts>(); }

LoadedModel load_model(const CommandLine& command_line) {
  LoadedModel result;
  try {
    result.engine = resolve_engine_options(command_line);
    const ModelConfig config = load_model_config(result.engine.model, result.engine.max_model_len);
    result.config = config;
    size_t hash = config.hash();
    if (!config.weights.empty() && result.engine.load_format != LoadFormat::kDummy) {
      const auto source = open_safetensors(config.weights);
      match_tensors(make_partition(config, 1, 0), *source);
      for (const SourceTensor& t : source->tensors()) {
        result.facts.checkpoint_bytes += t.bytes;
        hash = hash * 1000003 + std::hash<std::string>()(fmt::format("{} {} {}", t.name, t.dtype_name, t.bytes));
      }
    }
    result.facts.fingerprint = fmt::format("{:016x}", hash);
    const std::filesystem::path tokenizer_path =
        result.engine.tokenizer.empty() ? config.tokenizer : std::filesystem::path(result.engine.tokenizer);
    if (!tokenizer_path.empty()) {
      const auto tokenizer = Tokenizer::load(tokenizer_path);
      check(tokenizer->vocab_size() <= config.vocab_size,
            "{}: the tokenizer has ids up to {}, but the embedding has {} rows: it is another model's", tokenizer_path.string(),
            tokenizer->vocab_size() - 1, config.vocab_size);
      result.facts.has_end = !config.eos_token_ids.empty();
    }
  } catch (const std::exception& e) {
    result.facts.problem = e.what();
  }
  return result;
}

ModelNeed need_of(const ModelConfig& config, const EngineOptions& engine, int tp, bool cuda) {
  ModelNeed need;
  need.model = engine.model;
  need.context = engine.max_model_len > 0 ? engine.max_model_len : config.max_position_embeddings;
  const DType dtype = engine.dtype == "auto" ? config.dtype : dtype_from_name(engine.dtype);
  const DType act = cuda ? dtype : DType::kFloat32;
  const RunnerLimits limits = choose_limits(engine, config, cuda, Workload{});
  for (int r = 0; r < tp; ++r) {
    const Partition partition = make_partition(config, tp, r);
    const KvLayout kv = kv_layout(config, partition.share, dtype, engine.block_size);
    const RankMemory memory = rank_memory(config, partition, dtype, act, limits, kv);
    need.weights.push_back(engine.load_format == LoadFormat::kDummy || !config.weights.empty() ? memory.weights : 0);
    need.other.push_back(memory.activations + memory.buffers);
    need.kv_token.push_back(memory.kv_block / engine.block_size);
  }
  return need;
}

Findings check_model_facts(const Job& job, const std::vector<ModelFacts>& facts, const std::string& model) {
  const auto of = [&](const RankFacts& r) -> const ModelFacts& { return facts[static_cast<size_t>(r.launch.rank)]; };
  Findings findings = judge_each(job, "model", Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
    const ModelFacts& f = of(r);
    if (!f.problem.empty()) {
      return Verdict{Status::kFail, f.problem, "a sound model at this path on every host",
                     "mend what is named, or fetch the model anew; `lockstep inspect DIR --check` reads every number"};
    }
    return Verdict{Status::kPass,
                   f.checkpoint_bytes > 0
                       ? fmt::format("{}: configuration, {} of weights and tokenizer agree", model, size_text(f.checkpoint_bytes))
                       : fmt::format("{}: a configuration without weights", model),
                   "", ""};
  });
  append(findings, same_everywhere(job, "model copies", Scope::kHost, Status::kFail,
                                   "copy the model anew to that host, or use a shared path",
                                   [&](const RankFacts& r) { return of(r).fingerprint; }));
  if (!of(job.ranks.front()).has_end) {
    findings.push_back(of_all(job, "end of text",
                              {Status::kWarn, "neither generation_config.json nor config.json names an eos_token_id",
                               "a token that ends a text: without it every answer runs up to --max-tokens",
                               "fetch the model's generation_config.json, or add eos_token_id to config.json"}));
  }
  return findings;
}

}  // namespace lockstep::doctor
