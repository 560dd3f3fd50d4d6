// Every op's test on the CPU, with each instruction set that the processor has.
#include "unit/kernels/kernel_test.h"

namespace lockstep::test {

INSTANTIATE_TEST_SUITE_P(Cpu, KernelTest, ::testing::ValuesIn(params_for({"scalar", "avx2", "avx512", "avx512bf16", "amxbf16"})),
                         param_name);

}  // namespace lockstep::test
