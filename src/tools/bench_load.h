// `bench load`: how fast each rank gets its partition of a checkpoint, beside what the files give.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective. Returns the exit code.
int run_bench_load(const World& world, const CommandLine& command_line);

}  // namespace lockstep
