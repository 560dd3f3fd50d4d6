#include "tools/host_floor.h"

#include <spdlog/spdlog.h>

#include "comm/ping_pong.h"

namespace lockstep {

void log_host_floor(const World& world) {
  const double hop = measure_line_hop(world);
  if (!world.is_root() || hop <= 0.0) return;
  spdlog::info("a cache line takes {:.3f} us from one rank to another of this host{}", hop * 1e6,
               world.cores_are_scarce() ? "; ranks share cores here, which costs a change of threads each time" : "");
}

}  // namespace lockstep
