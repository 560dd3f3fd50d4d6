// The kernels for AVX-512 as in kernels_avx512bf16.cpp, with linears of bfloat16 on the tile unit.
#define LOCKSTEP_SIMD 512
#define LOCKSTEP_BF16
#include "kernels/cpu/amx_impl.h"
#include "kernels/cpu/kernels_impl.h"

namespace lockstep::cpu {
namespace {

constexpr CpuKernels make_amx_kernels() {
  CpuKernels kernels = make_kernels("amxbf16");
  kernels.linear_stream = amx_linear_stream;
  kernels.linear_blocked = amx_linear_blocked;
  kernels.pack_operand = amx_pack_operand;
  return kernels;
}

}  // namespace

const CpuKernels& amxbf16_kernels() {
  static constexpr CpuKernels kernels = make_amx_kernels();
  return kernels;
}

}  // namespace lockstep::cpu
