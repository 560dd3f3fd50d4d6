#include "plan/gpu_overview.h"

#include <fmt/format.h>

#include "plan/plan_report.h"

namespace lockstep {
namespace {

// 0: none up to `most`.
int fewest_ranks(const PlannedModel& model, const Gpu& gpu, int most, const MemoryNeed& need) {
  for (int tp = 1; tp <= most; ++tp) {
    if (judge_degree(model, tp).possible && plan_memory(model, gpu, tp, 1, most, need).fits) return tp;
  }
  return 0;
}

}  // namespace

std::vector<GpuOverview> overview_of(const PlanRequest& request, int gpus_per_node) {
  std::vector<GpuOverview> rows;
  PlannedModel int4 = request.model;
  const bool narrower = bits_of(request.model.format) > 4;
  if (narrower) {
    set_formats(int4, "int4", "", 0);
    int4.kv_element_bytes = request.model.kv_element_bytes;
  }
  for (const Gpu& gpu : all_gpus()) {
    GpuOverview row;
    row.gpu = gpu;
    Cluster cluster;
    cluster.gpu = gpu;
    cluster.gpus_per_node = gpus_per_node;
    cluster.node_link = load_link(gpu.interconnect, LinkScope::kNode);
    MemoryNeed need = request.need;
    need.nvlink = cluster.node_link.direct;
    row.fewest = fewest_ranks(request.model, gpu, gpus_per_node, need);
    row.fewest_int4 = narrower ? fewest_ranks(int4, gpu, gpus_per_node, need) : row.fewest;
    if (row.fewest > 0) {
      row.memory = plan_memory(request.model, gpu, row.fewest, 1, gpus_per_node, need);
      cluster.beyond_group = gpu.beyond_group.empty() ? cluster.node_link : load_link(gpu.beyond_group, LinkScope::kNode);
      const StepTimeModel times(request.model, cluster, row.fewest);
      row.single_seconds = times.decode(1, static_cast<double>(request.context)).total();
      row.token_seconds =
          times.decode(static_cast<double>(request.need.concurrency), static_cast<double>(request.context)).total();
    }
    rows.push_back(row);
  }
  return rows;
}

Section section_of(const std::vector<GpuOverview>& rows, const PlanRequest& request) {
  Section s;
  s.title = "GPUs of a node that hold it";
  s.lines.push_back(fmt::format("{} sequence{} of {} tokens at once; speed at {} tokens of context", request.need.concurrency,
                                request.need.concurrency == 1 ? "" : "s", request.need.max_model_len, request.context));
  s.table.header = {"--gpu",
                    "GB",
                    "GPUs",
                    "in int4",
                    "GB a rank",
                    "usable",
                    "room for tokens",
                    "ms a token, alone",
                    fmt::format("tokens/s, {} at once", request.need.concurrency)};
  for (const GpuOverview& row : rows) {
    std::vector<std::string> cells = {row.gpu.name, fmt::format("{:.1f}", row.gpu.memory_bytes / 1e9),
                                      row.fewest > 0 ? std::to_string(row.fewest) : "none",
                                      row.fewest_int4 > 0 ? std::to_string(row.fewest_int4) : "none"};
    if (row.fewest > 0) {
      cells.insert(cells.end(), {fmt::format("{:.2f}", static_cast<double>(row.memory.needed()) / 1e9),
                                 fmt::format("{:.2f}", static_cast<double>(row.memory.usable) / 1e9),
                                 std::to_string(row.memory.kv_pool_tokens), fmt::format("{:.2f}", row.single_seconds * 1e3),
                                 fmt::format("{:.0f}", static_cast<double>(request.need.concurrency) / row.token_seconds)});
    } else {
      cells.insert(cells.end(), 5, "-");
    }
    s.table.rows.push_back(cells);
  }
  s.notes.push_back(
      "Give --gpu NAME for every degree, the exchanges and a recommendation. lockstep does not run int4 yet, nor GPUs before "
      "compute capability 8.0 (V100).");
  return s;
}

nlohmann::ordered_json to_json(const std::vector<GpuOverview>& rows, const PlanRequest& request) {
  nlohmann::ordered_json json;
  json["model"] = model_json(request.model);
  json["max_model_len"] = request.need.max_model_len;
  json["concurrency"] = request.need.concurrency;
  json["gpus"] = nlohmann::ordered_json::array();
  for (const GpuOverview& row : rows) {
    nlohmann::ordered_json gpu = {{"gpu", row.gpu.name},
                                  {"fewest", row.fewest},
                                  {"fewest_int4", row.fewest_int4},
                                  {"runs_lockstep", row.gpu.runs_lockstep()}};
    if (row.fewest > 0) {
      gpu["memory"] = to_json(row.memory);
      gpu["single_seconds"] = row.single_seconds;
      gpu["token_seconds"] = row.token_seconds;
    }
    json["gpus"].push_back(gpu);
  }
  return json;
}

}  // namespace lockstep
