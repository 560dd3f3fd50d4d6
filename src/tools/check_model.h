// `lockstep inspect --check`: whether a model's files are sound and agree with each other.
#pragma once

#include <filesystem>
#include <iosfwd>

#include "weights/tensor_source.h"

namespace lockstep {

// Reads every weight, and compares configuration, weights and tokenizer where the model has them. model: a Hugging Face directory
// or a YAML file; source: its weights. Prints a line for what was checked; throws Error naming everything that was wrong: the
// tensors with NaN or Inf, with the first place and the counts; tensors that the configuration does not expect or misses; token
// ids outside the vocabulary; a tied LM head of other values.
void check_model(const std::filesystem::path& model, const TensorSource& source, std::ostream& out);

}  // namespace lockstep
