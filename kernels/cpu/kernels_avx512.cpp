// The kernels for AVX-512 F, BW, DQ and VL.
#define LOCKSTEP_SIMD 512
#include "kernels/cpu/kernels_impl.h"

namespace lockstep::cpu {

const CpuKernels& avx512_kernels() {
  static constexpr CpuKernels kernels = make_kernels("avx512");
  return kernels;
}

}  // namespace lockstep::cpu
