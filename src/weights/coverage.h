// What must hold before the first byte of a checkpoint is read.
#pragma once

#include <vector>

#include "partition/partition.h"
#include "weights/tensor_source.h"

namespace lockstep {

// Throws Error naming the parameter unless the pieces fill every element of every parameter exactly once.
void check_coverage(const Partition& partition);

// Finds each piece's tensor: the result has the index in source.tensors() for each of partition.pieces. Throws Error naming the
// tensors when one of the model is missing, unknown, wrongly shaped or of a dtype that cannot be loaded, whether this rank reads
// it or not, so that all ranks say the same. Redundant tensors are held to their shape.
std::vector<size_t> match_tensors(const Partition& partition, const TensorSource& source);

}  // namespace lockstep
