// Every op's test on CUDA; the fixture skips, saying why, where there is no device.
#include "unit/kernels/kernel_test.h"

namespace lockstep::test {

INSTANTIATE_TEST_SUITE_P(Cuda, KernelTest, ::testing::ValuesIn(params_for({"cuda"})), param_name);

}  // namespace lockstep::test
