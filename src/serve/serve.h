// `lockstep serve`: OpenAI's API over HTTP, answered by all ranks.
#pragma once

#include <string>

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective over the world; rank 0 listens. Runs until SIGTERM or SIGINT, then finishes what has begun within the time for that
// and returns 0. version: what /version tells. Throws PhaseFailed or Error.
int run_serve(const World& world, const CommandLine& command_line, const std::string& version);

}  // namespace lockstep
