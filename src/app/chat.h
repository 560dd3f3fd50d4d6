// `lockstep chat`: a talk with a chat model, in a terminal or through a pipe.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective over the world; rank 0 reads stdin and writes to stdout. Returns the exit code. Throws PhaseFailed or Error.
int run_chat(const World& world, const CommandLine& command_line);

}  // namespace lockstep
