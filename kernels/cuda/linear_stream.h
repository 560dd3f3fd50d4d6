// linear for few rows of x on sm_90 (linear_stream.cu).
#pragma once

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

inline constexpr int kMaxStreamTokens = 64;

// x and w have 16-bit elements and rows aligned to 16 bytes; up to kMaxStreamTokens rows of x.
bool linear_stream_supports(const Launch& to, TensorView x, TensorView w);
// gated: w holds F gate rows, then F up rows, bias likewise; out = silu(x · gateᵀ) * (x · upᵀ), [M, F].
void launch_linear_stream(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias, bool gated);

}  // namespace lockstep::cuda
