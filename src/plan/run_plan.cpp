#include "plan/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <ostream>

#include "base/error.h"
#include "config/command_line.h"
#include "plan/bench_file.h"
#include "plan/gpu_overview.h"
#include "plan/plan_plot.h"
#include "plan/plan_report.h"

namespace lockstep {
namespace {

constexpr int64_t kUsualContext = 1024;
constexpr int kMostRows = 256;  // degrees that are worth a table
constexpr const char* kUsualNetwork = "infiniband-ndr";

void write_file(const std::filesystem::path& path, const char* flag, const std::string& text) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << text;
  file.close();
  check(file.good(), "{} {}: the file cannot be written", flag, path.string());
}

Cluster make_cluster(const PlanOptions& o, Gpu gpu, std::vector<std::string>& notes) {
  Cluster cluster;
  cluster.gpus_per_node = o.gpus_per_node;
  cluster.nodes = o.nodes;
  cluster.nics_per_node = o.nics_per_node;
  cluster.node_link = load_link(o.interconnect.empty() ? gpu.interconnect : o.interconnect, LinkScope::kNode);
  if (!o.interconnect.empty()) gpu.max_gpus_per_link_group = 0;  // what was named joins all
  cluster.beyond_group = gpu.max_gpus_per_link_group > 0 ? load_link(gpu.beyond_group, LinkScope::kNode) : cluster.node_link;
  if (o.nodes > 1) {
    cluster.network = load_link(o.network.empty() ? kUsualNetwork : o.network, LinkScope::kNetwork);
    if (o.network.empty()) notes.push_back(fmt::format("the network is an assumption; give --network and --nics-per-node"));
  } else {
    check(o.network.empty(), "--network {} with --nodes 1; allowed: with --nodes 2 or more", o.network);
  }
  cluster.gpu = std::move(gpu);
  check(cluster.total() <= kMostRows || o.tensor_parallel_size > 0,
        "{} nodes × {} GPUs are {} ranks; allowed: at most {}, or one degree (-tp N)", o.nodes, o.gpus_per_node, cluster.total(),
        kMostRows);
  check(o.tensor_parallel_size <= cluster.total(),
        "--tensor-parallel-size {}: {} node{} × {} GPUs are {} ranks; allowed: at most that many", o.tensor_parallel_size,
        o.nodes, o.nodes == 1 ? "" : "s", o.gpus_per_node, cluster.total());
  return cluster;
}

// Everything that does not depend on the GPU.
PlanRequest make_request(const CommandLine& command_line) {
  const PlanOptions& o = command_line.plan;
  PlanRequest r;
  r.need.options = resolve_engine_options(command_line, find_planned_model(command_line.engine.model));
  r.model = load_planned_model(command_line.engine.model, r.need.options.max_model_len);
  try {
    set_formats(r.model, o.dtype, o.kv_cache_dtype, o.quantization_group);
  } catch (const Error& e) {
    fail("--dtype {}, --kv-cache-dtype {}: {}", o.dtype, o.kv_cache_dtype, e.what());
  }
  r.need.max_model_len = r.need.options.max_model_len > 0 ? r.need.options.max_model_len : r.model.config.max_position_embeddings;
  r.need.concurrency = o.concurrency;
  r.context = o.context > 0 ? o.context : std::min(kUsualContext, r.need.max_model_len);
  check(r.context <= r.need.max_model_len, "--context is {}; allowed: at most the longest sequence, {} (--max-model-len)",
        r.context, r.need.max_model_len);
  r.batches.assign(o.batch_sizes.begin(), o.batch_sizes.end());
  for (const auto& [batch, length] : o.shapes) r.prefills.push_back({batch, length});
  r.max_latency_s = o.max_latency_ms * 1e-3;
  r.only_tp = o.tensor_parallel_size;
  return r;
}

void print(const PlanOptions& o, const std::vector<Section>& sections, const nlohmann::ordered_json& json, std::ostream& out) {
  switch (o.output_format) {
    case PlanFormat::kText: out << to_text(sections); break;
    case PlanFormat::kMarkdown: out << to_markdown(sections); break;
    case PlanFormat::kJson: out << json.dump(2) << '\n'; break;
  }
  write_file(o.json, "--json", json.dump(2) + '\n');
}

// --bench: each file's own model, ranks and, where --gpu does not say, GPU.
int run_comparison(const CommandLine& command_line, std::ostream& out) {
  const PlanOptions& o = command_line.plan;
  std::vector<Section> sections;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const std::filesystem::path& path : o.bench) {
    const BenchFile bench = read_bench_file(path);
    const std::string name = command_line.engine.model.empty() ? bench.model : command_line.engine.model;
    PlannedModel model = load_planned_model(name, bench.limits.max_model_len);
    set_formats(model, bench.dtype, o.kv_cache_dtype, 0);
    std::optional<Gpu> gpu;
    if (!o.gpu.empty()) {
      gpu = load_gpu(o.gpu);
    } else {
      gpu = find_gpu_by_device(bench.device);
    }
    check(gpu.has_value(), "{}: was measured on '{}', which is no device_names of configs/hardware; give --gpu", path.string(),
          bench.device.empty() ? "a CPU" : bench.device);
    PlanOptions hardware = o;
    hardware.gpus_per_node = std::max(o.gpus_per_node, (bench.ranks + o.nodes - 1) / o.nodes);
    hardware.tensor_parallel_size = bench.ranks;
    std::vector<std::string> notes;
    const Cluster cluster = make_cluster(hardware, *gpu, notes);
    const BenchComparison comparison = compare(bench, model, cluster);
    for (Section& section : sections_of(bench, comparison, cluster)) sections.push_back(std::move(section));
    json.push_back(to_json(bench, comparison));
  }
  print(o, sections, {{"bench", json}}, out);
  return 0;
}

}  // namespace

int run_plan(const CommandLine& command_line, std::ostream& out) {
  const PlanOptions& o = command_line.plan;
  if (!o.bench.empty()) return run_comparison(command_line, out);
  PlanRequest request = make_request(command_line);
  if (o.gpu.empty()) {
    check(o.plot.empty(), "--plot {}: needs --gpu", o.plot.string());
    const std::vector<GpuOverview> rows = overview_of(request, o.gpus_per_node);
    print(o, {model_section(request.model, request.need), section_of(rows, request)}, to_json(rows, request), out);
    return 0;
  }
  request.cluster = make_cluster(o, load_gpu(o.gpu), request.notes);
  request.need.nvlink = request.cluster.node_link.direct;
  const Plan plan = make_plan(std::move(request));
  print(o, sections_of(plan), to_json(plan), out);
  write_file(o.plot, "--plot", plot_of(plan));
  return 0;
}

}  // namespace lockstep
