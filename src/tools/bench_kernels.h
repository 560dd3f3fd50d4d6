// `lockstep bench kernels`: every operation of a step at a model's shapes, beside its floor and, for the linears, beside the
// vendor's library.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective: every rank measures its own share at the same time; rank 0 prints its table and, with --json, writes the same as
// JSON. Returns the exit code.
int run_bench_kernels(const World& world, const CommandLine& command_line);

}  // namespace lockstep
