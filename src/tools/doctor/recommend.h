// Which tp to take on these hosts, and for a model.
#pragma once

#include <string>

#include "config/command_line.h"
#include "tools/doctor/job.h"

namespace lockstep::doctor {

struct Recommendation {
  int tp = 0;  // 0: none
  std::string text;
};

// Of a GPU host by the plan of src/plan, with the links that were found; of a CPU host a rank for each NUMA node, and as many
// hosts as the memory asks for. Never throws.
Recommendation recommend(const Job& job, const CommandLine& command_line);

}  // namespace lockstep::doctor
