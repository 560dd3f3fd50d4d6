#include "kernels/cuda/tensor_map.h"

#include <cuda_runtime_api.h>

#include "base/error.h"
#include "kernels/cuda/launch.h"

namespace lockstep::cuda {
namespace {

// From the driver at run time, so that nothing links to libcuda and a build runs on machines without it.
decltype(&cuTensorMapEncodeTiled) find_encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result),
             "cudaGetDriverEntryPointByVersion");
#else
  check_cuda(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result), "cudaGetDriverEntryPoint");
#endif
  check(result == cudaDriverEntryPointSuccess && function != nullptr,
        "the CUDA driver has no cuTensorMapEncodeTiled; Hopper GPUs need driver 525 or newer");
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
}

}  // namespace

CUtensorMap make_tensor_map(DType dtype, const void* data, const uint64_t (&sizes)[4], const uint64_t (&strides)[3],
                            const uint32_t (&box)[4]) {
  static const auto encode = find_encoder();
  CUtensorMap map;
  const cuuint32_t element_strides[4] = {1, 1, 1, 1};
  const CUresult status =
      encode(&map, dtype == DType::kBFloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4,
             const_cast<void*>(data), sizes, strides, box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(status == CUDA_SUCCESS,
        "cuTensorMapEncodeTiled refuses {} [{}, {}, {}, {}] with strides {}, {}, {} at {} in boxes [{}, {}, {}, {}]: error {}",
        name_of(dtype), sizes[3], sizes[2], sizes[1], sizes[0], strides[2], strides[1], strides[0], data, box[3], box[2], box[1],
        box[0], static_cast<int>(status));
  return map;
}

SlabMap make_slab_map(const TensorView& t, int pieces, int box_rows, int slabs_per_box) {
  const bool whole = t.cols % kSlabColumns == 0;
  const auto cols = static_cast<uint64_t>(t.cols);
  const auto piece_rows = static_cast<uint64_t>(t.rows / pieces);
  // The stride of a single row means nothing, but must be a legal one.
  const auto row_bytes = static_cast<uint64_t>(t.rows > 1 ? t.stride : (t.cols + 7) / 8 * 8) * 2;
  SlabMap out = {};
  out.x_step = whole ? 0 : kSlabColumns;
  out.z_step = whole ? 1 : 0;
  out.map = make_tensor_map(
      t.dtype, t.data, {whole ? kSlabColumns : cols, piece_rows, static_cast<uint64_t>(pieces), whole ? cols / kSlabColumns : 1},
      {row_bytes, row_bytes * piece_rows, kSlabColumns * 2},
      {kSlabColumns, static_cast<uint32_t>(box_rows), static_cast<uint32_t>(pieces),
       static_cast<uint32_t>(whole ? slabs_per_box : 1)});
  return out;
}

}  // namespace lockstep::cuda
