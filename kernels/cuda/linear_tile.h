// linear for many rows of x on sm_90 (linear_tile.cu).
#pragma once

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

// x and w have 16-bit elements and rows aligned to 16 bytes; gated: features a multiple of 8; not gated: only where it is faster
// than cuBLASLt.
bool linear_tile_supports(const Launch& to, TensorView x, TensorView w, bool gated);
// gated: w holds F gate rows, then F up rows, bias likewise; out = silu(x · gateᵀ) * (x · upᵀ), [M, F], of x's type.
void launch_linear_tile(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias, bool gated);

}  // namespace lockstep::cuda
