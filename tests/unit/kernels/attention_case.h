// A shape of attention to test; KernelTest::check_attention() and check_rope_attention() take it.
#pragma once

#include <vector>

#include "unit/kernels/kernel_test.h"

namespace lockstep::test {

struct AttentionCase {
  HeadLayout heads;
  int64_t block_size;
  std::vector<SequenceShape> sequences;
};

}  // namespace lockstep::test
