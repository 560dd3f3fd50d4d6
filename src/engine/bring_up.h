// bring_up: from options to a ModelRunner on every rank, in phases that all ranks pass or fail together.
#pragma once

#include <memory>

#include "comm/world.h"
#include "config/model_config.h"
#include "config/options.h"
#include "engine/model_runner.h"
#include "engine/rank_memory.h"

namespace lockstep {

// Collective. `options` are the resolved ones and equal on every rank; `config` likewise; `workload` counts on rank 0 only.
// Throws PhaseFailed (the cause has been printed once) or Error.
std::unique_ptr<ModelRunner> bring_up(const World& world, const EngineOptions& options, const ModelConfig& config,
                                      Workload workload);

}  // namespace lockstep
