// What `bench comm` says of CPU ranks beside its table: the floor of small messages.
#pragma once

#include "comm/world.h"

namespace lockstep {

// Collective. Rank 0 logs how long a cache line takes from one rank to another of its host: an AllReduce that every rank waits
// for takes one such hop at least, and one of few bytes should take little more (measure_line_hop). Nothing with one rank a host.
void log_host_floor(const World& world);

}  // namespace lockstep
