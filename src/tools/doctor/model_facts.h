// The model as each rank finds it on its own host, and what ranks of it will need.
#pragma once

#include <optional>
#include <string>

#include "config/command_line.h"
#include "config/model_config.h"
#include "config/options.h"
#include "tools/doctor/job.h"

namespace lockstep::doctor {

struct ModelFacts {
  std::string problem;           // empty where configuration, headers of the weights and tokenizer are sound and agree
  std::string fingerprint;       // of configuration, and of names, shapes and sizes of the weights
  int64_t checkpoint_bytes = 0;  // 0: no weights are named
  bool has_end = true;           // some token ends a text
};

// What load_model() found.
struct LoadedModel {
  ModelFacts facts;
  std::optional<ModelConfig> config;
  EngineOptions engine;
};

// Not collective; reads headers, not values. Never throws.
LoadedModel load_model(const CommandLine& command_line);

std::string to_text(const ModelFacts& facts);
ModelFacts model_facts_from_text(const std::string& text);

// Throws Error where the model cannot be dealt to `tp` ranks.
ModelNeed need_of(const ModelConfig& config, const EngineOptions& engine, int tp, bool cuda);

// facts: by rank.
Findings check_model_facts(const Job& job, const std::vector<ModelFacts>& facts, const std::string& model);

}  // namespace lockstep::doctor
