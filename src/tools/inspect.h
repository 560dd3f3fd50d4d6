// `lockstep inspect`: what a checkpoint holds and, for N ranks, who gets what.
#pragma once

#include <iosfwd>
#include <string>

namespace lockstep {

// Prints the tensors of the checkpoint in `dir` (a Hugging Face directory, a directory of *.safetensors, or a YAML file or name
// of a model as load_model_config() takes it), totals and metadata. tp > 0: also what each rank of `tp` holds and reads, which
// needs the model's configuration but, for a YAML file, no checkpoint; throws Error when checkpoint and configuration do not
// fit together or tp is not possible. Returns the exit code 0.
int run_inspect(const std::string& dir, int tp, std::ostream& out);

}  // namespace lockstep
