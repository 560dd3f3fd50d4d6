// open_device: the device of this rank, as the options ask for it and as the ranks of the host share it.
#pragma once

#include <memory>

#include "comm/world.h"
#include "config/options.h"
#include "kernels/backend.h"

namespace lockstep {

struct OpenedDevice {
  std::unique_ptr<Backend> backend;
  int sharers = 1;  // ranks of this host that use the same GPU, this one included; 1 on the CPU
};

// Collective. Of `options`: device, threads, batch_invariant. A CPU rank without a number of threads gets its share of the cores
// that it may run on, each shared with the ranks of this host that may run there too. Throws PhaseFailed where there is no such
// device, or where ranks would compute on different kinds.
OpenedDevice open_device(const World& world, const EngineOptions& options);

}  // namespace lockstep
