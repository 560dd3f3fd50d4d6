// The kernels for AVX2, FMA and F16C.
#define LOCKSTEP_SIMD 2
#include "kernels/cpu/kernels_impl.h"

namespace lockstep::cpu {

const CpuKernels& avx2_kernels() {
  static constexpr CpuKernels kernels = make_kernels("avx2");
  return kernels;
}

}  // namespace lockstep::cpu
