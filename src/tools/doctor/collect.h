// collect: the facts of this rank.
#pragma once

#include <string>

#include "comm/world.h"
#include "config/command_line.h"
#include "tools/doctor/facts.h"
#include "tools/doctor/system_files.h"

namespace lockstep::doctor {

// Where to look. Tests lay out files, and give a management library, of their own.
struct Sources {
  std::filesystem::path root = "/";
  std::string nvml = "libnvidia-ml.so.1";
  std::filesystem::path binary = "/proc/self/exe";
};

// Not collective. Each family of facts has `patience`; one that does not end in time (a dead network file system, a driver that
// hangs) is given up, stays empty and is named in `unanswered`. Never throws.
RankFacts collect(const World& world, const std::string& arguments, const Sources& sources, Seconds patience = Seconds(6.0));

CoreFacts collect_cores(const SystemFiles& files, const std::vector<int>& allowed);
LimitFacts collect_limits(const SystemFiles& files);
MemoryFacts collect_memory(const SystemFiles& files);
NetworkFacts collect_network(const SystemFiles& files);
BusFacts collect_bus(const SystemFiles& files);
DeviceFacts collect_devices(const SystemFiles& files, const std::string& nvml);

}  // namespace lockstep::doctor
