// What the device of each rank can do, measured while all ranks measure.
#pragma once

#include <vector>

#include "comm/world.h"
#include "engine/model_runner.h"
#include "tools/floor_model.h"

namespace lockstep {

// FLOP/s of a large GEMM in the weights' dtype: through the vendor's library where there is one, else through our own linear.
// Takes device memory for its operands while it runs; throws Error where there is none.
double measure_gemm_flops(Backend& backend, DType weights);

// Collective; by rank, on every rank. Each reads its own weights. flops: of a rank, or 0 to measure it.
std::vector<DeviceRates> measure_rates(const World& world, ModelRunner& runner, double flops);

}  // namespace lockstep
