// Looks through the numbers of a checkpoint for what its headers cannot show.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "partition/partition.h"
#include "weights/tensor_source.h"

namespace lockstep {

// A tensor in which some numbers are not finite.
struct NonFinite {
  size_t tensor = 0;  // in source.tensors()
  int64_t nans = 0;
  int64_t infinities = 0;
  int64_t first = 0;  // the first of either: its place in row-major order
  bool first_is_nan = false;
  bool operator==(const NonFinite&) const = default;
};

// Reads every tensor of a dtype that can be loaded, in `threads` threads. Result in the order of the tensors. progress (may be
// empty): called from the calling thread with bytes done and bytes to do. Throws Error when the files cannot be read.
std::vector<NonFinite> find_non_finite(const TensorSource& source, int threads,
                                       const std::function<void(int64_t done, int64_t total)>& progress);

// Throws Error where the configuration ties the LM head to the embedding and the checkpoint holds a head all the same, but of
// other values: transformers 5 would then not tie them, so that the configuration and the result would disagree. Reads this
// rank's rows of both, and only where there are both.
void check_tied_head(const Partition& partition, const TensorSource& source);

// "[2, 5]": the place in a tensor of this shape of element `index` in row-major order.
std::vector<int64_t> coordinates(const std::vector<int64_t>& shape, int64_t index);

}  // namespace lockstep
