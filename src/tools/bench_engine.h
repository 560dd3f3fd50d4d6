// `lockstep bench engine`: microseconds a step that the engine adds to the model's time, measured with a model that does nothing.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective over the world; prints to stdout on rank 0. Returns the exit code.
int run_bench_engine(const World& world, const CommandLine& command_line);

}  // namespace lockstep
