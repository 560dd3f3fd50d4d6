// linear for few rows of x on sm_90 (linear_stream.cu).
#pragma once

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

// x and w have 16-bit elements and rows aligned to 16 bytes; up to kMaxStreamTokens rows of x.
bool linear_stream_supports(const Launch& to, TensorView x, TensorView w);
// gated: w holds F gate rows, then F up rows, bias likewise; out = silu(x · gateᵀ) * (x · upᵀ), [M, F].
void launch_linear_stream(const Launch& to, TensorView out, const Rows& x, TensorView w, AnyVector bias, bool gated);

// Parts in which linear_add_norm leaves the sum of the squares of a row of `features`.
int64_t linear_add_norm_parts(int64_t features);
bool linear_add_norm_supports(const Launch& to, TensorView out, TensorView residual, TensorView x, TensorView w,
                              TensorView norm_weight);
// residual += x · wᵀ + bias; out = residual * norm_weight, to be divided by the residual's root mean square; squares: [M, parts]
// float32, the squares of the residual added up in parts. bfloat16; features a multiple of 8.
void launch_linear_add_norm(const Launch& to, TensorView out, TensorView residual, TensorView squares, TensorView x, TensorView w,
                            AnyVector bias, AnyVector norm_weight);

}  // namespace lockstep::cuda
