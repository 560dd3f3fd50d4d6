// The kernels for any x86-64 processor.
#define LOCKSTEP_SIMD 0
#include "kernels/cpu/kernels_impl.h"

namespace lockstep::cpu {

const CpuKernels& scalar_kernels() {
  static constexpr CpuKernels kernels = make_kernels("scalar");
  return kernels;
}

}  // namespace lockstep::cpu
