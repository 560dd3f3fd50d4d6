// `lockstep bench latency`: decode and prefill rates beside the physical floor.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective; rank 0 prints a table and, with --json, writes the same as JSON. Medians over repeats. The floor of a decode step
// is the bytes of weights and KV that a rank must read ÷ the read bandwidth measured by all ranks together. Returns the exit
// code.
int run_bench_latency(const World& world, const CommandLine& command_line);

}  // namespace lockstep
