// `lockstep doctor`: finds what makes tensor parallelism fail or crawl on the hosts of the job.
#pragma once

#include <string>

#include "comm/world.h"
#include "config/command_line.h"
#include "tools/doctor/collect.h"

namespace lockstep::doctor {

// Collective; rank 0 prints a table, or JSON. arguments: the command line, which ranks are compared by. Returns the exit code: 0
// where nothing failed. A rank that does not answer ends the job once the report has been printed.
int run_doctor(World& world, const CommandLine& command_line, const std::string& arguments, const Sources& sources = {});

}  // namespace lockstep::doctor
