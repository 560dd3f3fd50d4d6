// `lockstep generate`: prompts in, continuations out, streamed as they are made.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective over the world; rank 0 reads prompts and writes to stdout. Returns the exit code: 0, or 128 + signal after SIGINT or
// SIGTERM. Throws PhaseFailed or Error.
int run_generate(const World& world, const CommandLine& command_line);

}  // namespace lockstep
