// The flags of `doctor`.
#include "config/cli_flags.h"
#include "config/cli_handlers.h"
#include "config/engine_flags.h"

namespace lockstep {

void add_doctor(CliFlags& flags, CommandLine& result) {
  flags.value("--model", "MODEL",
              "Also look at this model: its files, how fast they are read, whether it fits, and which tp to take",
              into_text(result.engine.model, "a directory, a YAML file or a name in configs/models"));
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  flags.flag("--json", "Print JSON instead of a table", result.doctor.json);
  for (const char* name : {"tensor-parallel-size", "device", "dtype", "load-format", "threads", "allreduce", "max-model-len",
                           "max-num-seqs", "max-num-batched-tokens", "gpu-memory-utilization"}) {
    add_engine_flag(flags, result, *find_engine_flag(name));
  }
  flags.app()->footer(
      "Start it as the job that fails would be started, on the same hosts with as many ranks. It needs no root, changes nothing, "
      "and\n"
      "takes less than 30 s on sound hosts. Exit code: 0 where no check failed (warnings are none), else 1.\n"
      "Examples:\n"
      "  mpirun -np 4 lockstep doctor\n"
      "  srun --mpi=pmix lockstep doctor --model DIR --json");
}

}  // namespace lockstep
