// `lockstep bench prefill`: the time of prompts over batch sizes and lengths, beside its floor.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective; rank 0 prints a table and, with --json, writes the same as JSON. The time goes from the prompts to the first token
// of all of them, the median over repeats, after one run to warm up. Returns the exit code.
int run_bench_prefill(const World& world, const CommandLine& command_line);

}  // namespace lockstep
