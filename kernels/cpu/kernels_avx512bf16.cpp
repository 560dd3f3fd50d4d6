// The kernels for AVX-512 F, BW, DQ, VL and BF16.
#define LOCKSTEP_SIMD 512
#define LOCKSTEP_BF16
#include "kernels/cpu/kernels_impl.h"

namespace lockstep::cpu {

const CpuKernels& avx512bf16_kernels() {
  static constexpr CpuKernels kernels = make_kernels("avx512bf16");
  return kernels;
}

}  // namespace lockstep::cpu
