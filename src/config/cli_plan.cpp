// The flags of `plan`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "config/cli_flags.h"
#include "config/cli_handlers.h"
#include "config/engine_flags.h"
#include "config/flag_values.h"

namespace lockstep {
namespace {

void add_hardware(CliFlags& flags, PlanOptions& p) {
  flags.value("--gpu", "NAME|FILE", "A GPU of configs/hardware or a YAML file of your own (default: a table of all)",
              into_text(p.gpu, "a name in configs/hardware or a YAML file"));
  flags.value("--gpus-per-node", "N", fmt::format("GPUs of a node (default: {})", p.gpus_per_node),
              into_integer(p.gpus_per_node, 1, 1024));
  flags.value("--nodes", "N", fmt::format("Nodes (default: {})", p.nodes), into_integer(p.nodes, 1, 1024));
  flags.value("--interconnect", "NAME|FILE", "The link inside a node (default: the GPU's)",
              into_text(p.interconnect, "a name in configs/hardware or a YAML file"));
  flags.value("--network", "NAME|FILE", "The link between nodes (default: infiniband-ndr)",
              into_text(p.network, "a name in configs/hardware or a YAML file"));
  flags.value("--nics-per-node", "N", fmt::format("Ports of it that a node has (default: {})", p.nics_per_node),
              into_integer(p.nics_per_node, 1, 64));
}

}  // namespace

void add_plan(CliFlags& flags, CommandLine& result) {
  PlanOptions& p = result.plan;
  flags.value("--model", "MODEL", "Hugging Face directory, YAML file, or a name in configs/models or configs/planned",
              into_text(result.engine.model, "a directory, a YAML file or a name in configs/models or configs/planned"));
  add_hardware(flags, p);
  flags.value("--tensor-parallel-size,--tp", "N", "Plan this degree alone (also -tp N; default: every one up to all GPUs)",
              into_integer(p.tensor_parallel_size, 1, 65536));
  flags.value("--dtype", "FORMAT",
              "auto, float32, bfloat16, float16, fp8, int8 or int4; auto is the checkpoint's (default: auto)",
              into_text(p.dtype, "a format"));
  flags.value("--kv-cache-dtype", "FORMAT", "auto, float32, bfloat16, float16 or fp8; auto is the model's (default: auto)",
              into_text(p.kv_cache_dtype, "a format"));
  flags.value("--quantization-group", "N", "Input features that share a scale (default: 128 with int4, else a row)",
              into_integer(p.quantization_group, 1, 1 << 20));
  flags.value("--concurrency", "N", fmt::format("Sequences at once, each of --max-model-len tokens (default: {})", p.concurrency),
              [&p](const std::string& text) { p.concurrency = parse_integer(text, 1, 1 << 20); });
  flags.value("--context", "N", "Tokens that each sequence has in a decode step (default: 1024, or --max-model-len)",
              [&p](const std::string& text) { p.context = parse_integer(text, 1, kMaxInt32); });
  flags.value("--batch-sizes", "N,...", fmt::format("Sequences of a decode step (default: {})", fmt::join(p.batch_sizes, ",")),
              into_integers(p.batch_sizes, 1, 65536));
  flags.value("--shapes", "BxN,...",
              fmt::format("Prompts that come together, and the tokens of each (default: {})", describe(p.shapes)),
              into_shapes(p.shapes));
  flags.value("--max-latency-ms", "MS", "Longest time from a token to the next at --concurrency (default: any)",
              into_number(p.max_latency_ms, {.min = 0, .max = 1e6, .open_min = true}));
  flags.value("--output-format", "text|markdown|json", "What goes to stdout (default: text)", [&p](const std::string& text) {
    p.output_format = parse_choice<PlanFormat>(
        text, {{"text", PlanFormat::kText}, {"markdown", PlanFormat::kMarkdown}, {"json", PlanFormat::kJson}});
  });
  flags.value("--json", "FILE", "Write the plan here as JSON, too", into_text(p.json, "a file"));
  flags.value("--plot", "FILE", "Draw tokens per second and memory over tp here, as SVG", into_text(p.plot, "a file"));
  flags.value(
      "--bench", "FILE", "Results of bench latency or prefill (--json): predicted beside measured; may be repeated",
      [&p](const std::string& text) {
        check(!text.empty(), "'' is not allowed; allowed: a file");
        p.bench.emplace_back(text);
      },
      CliFlags::Times::kMany);
  for (const char* name :
       {"max-model-len", "max-num-seqs", "max-num-batched-tokens", "block-size", "gpu-memory-utilization", "allreduce"}) {
    add_engine_flag(flags, result, *find_engine_flag(name));
  }
  flags.app()->footer(
      "Needs neither a GPU nor mpirun. Sizes are in powers of ten. Models and formats that lockstep does not run yet are "
      "planned,\n"
      "too, and marked. Memory comes from the code that allocates it, times from a model of the hardware (docs/choosing-tp.md).\n"
      "Examples:\n"
      "  lockstep plan --model llama-3-70b --gpu h100-80gb\n"
      "  lockstep plan --model qwen2.5-72b --gpu a100-80gb --gpus-per-node 4 --nodes 2 --max-model-len 8192 --concurrency 32\n"
      "  lockstep plan --model DIR --gpu l40s --dtype int4 --plot plan.svg\n"
      "  lockstep plan --bench latency.json");
}

}  // namespace lockstep
