// Whether every rank of this host can have a core of its own: decides how ranks wait for each other.
#pragma once

#include <sched.h>

#include <string>
#include <vector>

namespace lockstep {

// True when some ranks of the host must share a core. masks: the affinity mask of each rank of the host; quota: processors that
// the cgroup grants, 0 for no limit.
bool cores_are_scarce(const std::vector<cpu_set_t>& masks, double quota);

// The content of a cgroup's cpu.max, "max 100000" or "150000 100000", as processors; 0 for no limit or for what is not
// understood.
double parse_cpu_max(const std::string& text);

cpu_set_t own_affinity();
double own_cpu_quota();  // of cgroup v2, or v1

}  // namespace lockstep
