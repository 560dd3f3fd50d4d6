// What the results of a batch depend on, as a JSON object: a job that is started again is held to it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "app/batch_input.h"
#include "config/command_line.h"
#include "config/model_config.h"

namespace lockstep {

// The model is told by its configuration, its tokenizer, and the names, sizes, beginnings and ends of its weight files: reading
// all of them would take as long as loading them. Throws Error for a file that cannot be read.
nlohmann::ordered_json batch_identity(const BatchOptions& options, const BatchInputSummary& input, const EngineOptions& engine,
                                      const ModelConfig& config);

}  // namespace lockstep
