// `lockstep bench latency`: the time of a decode step over batch sizes and contexts, beside its floor.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective; rank 0 prints a table and, with --json, writes the same as JSON. A step's time is (time until all sequences have
// --output-len tokens - time until all have --skip) / (--output-len - --skip), the median over repeats. Returns the exit code.
int run_bench_latency(const World& world, const CommandLine& command_line);

}  // namespace lockstep
