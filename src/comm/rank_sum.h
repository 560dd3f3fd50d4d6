// Sums of the ranks' contributions on the host: always in rank order and in float32, so that every rank that computes one gets
// the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace lockstep {

// out[i] = in[0][i] + in[1][i] + ... for i < count, added in float32 from left to right, then rounded once to out_dtype.
// dtypes: float32, bfloat16 or float16. No alignment is needed; out may be one of the inputs.
void sum_in_order(void* out, DType out_dtype, std::span<const void* const> in, DType in_dtype, int64_t count);

// out[i] = in[i], converted; out and in must not overlap unless they are the same with elements of the same size.
void convert(void* out, DType out_dtype, const void* in, DType in_dtype, int64_t count);

}  // namespace lockstep
