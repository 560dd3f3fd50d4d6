// bring_up: from options to a ModelRunner on every rank, in phases that all ranks pass or fail together.
#pragma once

#include <memory>

#include "comm/world.h"
#include "config/model_config.h"
#include "config/options.h"
#include "engine/model_runner.h"

namespace lockstep {

// What is about to be asked of the engine, where that is known: nothing larger is allocated. Zeros mean unknown.
struct Workload {
  int64_t num_sequences = 0;
  int64_t prompt_tokens = 0;  // of all sequences
  int64_t total_tokens = 0;   // prompts and outputs of all sequences
  int64_t longest = 0;        // prompt and output of the longest sequence
};

// Collective. `options` are the resolved ones and equal on every rank; `config` likewise; `workload` counts on rank 0 only.
// Throws PhaseFailed (the cause has been printed once) or Error.
std::unique_ptr<ModelRunner> bring_up(const World& world, const EngineOptions& options, const ModelConfig& config,
                                      Workload workload);

}  // namespace lockstep
