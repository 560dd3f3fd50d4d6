// `lockstep plan`: whether a model fits, on how many of which GPUs, with which tp, and how fast it will be.
#pragma once

#include <iosfwd>

#include "config/command_line.h"

namespace lockstep {

// Returns the exit code: 0, also where nothing fits. Throws Error for bad input.
int run_plan(const CommandLine& command_line, std::ostream& out);

}  // namespace lockstep
