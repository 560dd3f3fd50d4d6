// `lockstep bench throughput`: many requests at once, offline, beside the floor.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective; rank 0 prints the figures and, with --json, writes the same as JSON. All requests are there from the start; the
// time goes until the last token of the last. Returns the exit code.
int run_bench_throughput(const World& world, const CommandLine& command_line);

}  // namespace lockstep
