// Conversion of runs of weights between float32, bfloat16 and float16 on the host.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace lockstep {

// to[i] = from[i], i in [0, count), round to nearest even, bit for bit as the scalar functions of base/dtype.h (bfloat16 and
// float16 to each other by way of float32, which holds both exactly). The two runs must not overlap and must be aligned to their
// elements; from and to must be two of float32, bfloat16 and float16, and may be the same.
// Returns false when a finite number became infinite.
[[nodiscard]] bool convert(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t count);

}  // namespace lockstep
