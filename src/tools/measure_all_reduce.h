// The time of an AllReduce, with a check of every element. For `bench comm` and `doctor`.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "comm/world.h"
#include "kernels/backend.h"

namespace lockstep {

struct AllReduceFigures {
  int64_t bytes = 0;     // of the message
  double seconds = 0.0;  // of one call: median over repeats, slowest rank
  int64_t wrong = 0;     // elements, of all ranks
};

// Collective; the figures are the same on every rank. bytes: of the message, in whole float32. repeats >= 1.
AllReduceFigures measure_all_reduce(const World& world, Backend& backend, Communicator& communicator, int64_t bytes, int repeats);

}  // namespace lockstep
