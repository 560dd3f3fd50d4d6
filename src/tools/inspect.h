// `lockstep inspect`: what a checkpoint holds, how the ranks would share it, and whether it is sound.
#pragma once

#include <iosfwd>

#include "config/command_line.h"

namespace lockstep {

// Prints the tensors of the checkpoint in options.directory (a Hugging Face directory, a directory of *.safetensors, or a YAML
// file or name of a model as load_model_config() takes it), totals and metadata. With tensor_parallel_size N: also what each rank
// of N holds and reads, which needs the model's configuration but, for a YAML file, no checkpoint. With check: check_model().
// Returns the exit code 0; throws Error when the files do not fit together, are not sound, or N ranks are not possible.
int run_inspect(const InspectOptions& options, std::ostream& out);

}  // namespace lockstep
