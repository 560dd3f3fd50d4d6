// `lockstep config`: what a model and the engine options resolve to.
#pragma once

#include <iosfwd>
#include <string>

#include "config/options.h"

namespace lockstep {

// Prints `model` (as load_model_config() takes it) and the engine options as one YAML document that can itself be given as
// --model. Returns the exit code 0. Throws Error for a bad model.
int run_config(const std::string& model, const EngineOptions& options, std::ostream& out);

}  // namespace lockstep
