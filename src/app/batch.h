// `lockstep batch`: a file of requests in, a file of answers out; may be killed at any moment and started again.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Of a job that a signal ended before all was done, and that is to be started again (EX_TEMPFAIL of sysexits.h).
inline constexpr int kRequeueExitCode = 75;

// Collective over the world; rank 0 reads and writes. Returns the exit code, the same on every rank: 0 when every line has its
// answer, be it an error; kRequeueExitCode after SIGTERM or SIGUSR1; 130 after SIGINT. Throws PhaseFailed or Error.
int run_batch(const World& world, const CommandLine& command_line);

}  // namespace lockstep
