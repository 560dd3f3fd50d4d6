// Tensor maps: how the copy engine of sm_90 sees a matrix.
#pragma once

#include <cuda.h>

#include "base/tensor.h"

namespace lockstep::cuda {

// Columns of a slab: 64 elements of 16 bits, the 128 bytes of a swizzled row.
inline constexpr int kSlabColumns = 64;

// A 4-D tensor of 16-bit elements, `sizes` elements in each dimension, the innermost first and contiguous, the others `strides`
// bytes (multiples of 16) apart; read in boxes of box[0] <= kSlabColumns ... elements (each at most 256), swizzled over 128
// bytes; what lies outside the tensor becomes zeros. Throws Error where the driver refuses.
CUtensorMap make_tensor_map(DType dtype, const void* data, const uint64_t (&sizes)[4], const uint64_t (&strides)[3],
                            const uint32_t (&box)[4]);

// A row-major matrix of 16-bit elements as slabs of kSlabColumns columns, its rows in equal pieces. The box from row r on of
// every piece, in slab i and those after it, is at coordinate (i * x_step, r, 0, i * z_step).
struct SlabMap {
  CUtensorMap map;
  int32_t x_step, z_step;
};

// `t` is aligned to 16 bytes, as are its rows, of which there are a multiple of `pieces`. A box is [slab][piece][box_rows (1 to
// 256)][kSlabColumns] in shared memory, swizzled over 128 bytes; what lies outside the matrix becomes zeros. It has slabs_per_box
// slabs where the columns are a multiple of kSlabColumns, else one. Throws Error where the driver refuses.
SlabMap make_slab_map(const TensorView& t, int pieces, int box_rows, int slabs_per_box);

}  // namespace lockstep::cuda
