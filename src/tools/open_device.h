// The device of a benchmark that runs no model.
#pragma once

#include <memory>

#include "comm/world.h"
#include "config/options.h"
#include "kernels/backend.h"

namespace lockstep {

// Collective. threads: of a CPU rank. Throws PhaseFailed where --device asks for what there is not.
std::unique_ptr<Backend> open_device(const World& world, DeviceChoice device, int threads);

}  // namespace lockstep
