// What AllReduce between CPU ranks cannot beat, measured: how long a cache line takes from one core to another.
#pragma once

#include "comm/world.h"

namespace lockstep {

// Collective. Seconds that a cache line needs from one rank to another of the same host, half of a round trip between its first
// two ranks, which do nothing else; the median of several runs, the largest of all hosts. 0 where every host has one rank only.
// Where the two ranks share a core, this is the time that a change of threads takes. Throws Error where there is no shared
// memory.
double measure_line_hop(const World& world);

}  // namespace lockstep
