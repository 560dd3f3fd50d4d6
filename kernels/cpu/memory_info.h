// How much memory this process can still get: the machine's and its cgroup's, whichever is less.
#pragma once

#include <string>

#include "kernels/backend.h"

namespace lockstep::cpu {

// root: "/" but for tests, which lay out proc/ and sys/ themselves. Never throws; zeros where nothing can be read.
MemoryInfo read_memory_info(const std::string& root = "/");

}  // namespace lockstep::cpu
