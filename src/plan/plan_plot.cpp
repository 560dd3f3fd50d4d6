#include "plan/plan_plot.h"

#include <fmt/format.h>

#include <array>

#include "plan/svg.h"

namespace lockstep {

std::string plot_of(const Plan& plan) {
  Panel speed{.title = fmt::format("{} on {}: decoding", plan.request.model.name, plan.request.cluster.gpu.description),
              .x_label = "tp",
              .y_label = fmt::format("tokens/s at {} tokens of context", plan.request.context)};
  for (size_t i = 0; i < plan.request.batches.size(); ++i) {
    Series series{fmt::format("batch {}", plan.request.batches[i]), {}};
    for (const PlanRow& row : plan.rows) {
      if (row.degree.possible) series.points.emplace_back(row.degree.tp, row.decode[i].tokens_per_second);
    }
    if (!series.points.empty()) speed.lines.push_back(series);
  }
  Panel memory{.title = "Memory of the busiest rank", .x_label = "tp", .y_label = "GB"};
  memory.limit =
      static_cast<double>(plan.request.cluster.gpu.memory_bytes) * plan.request.need.options.gpu_memory_utilization / 1e9;
  memory.limit_name = "usable";
  std::vector<Series> parts = {{"weights", {}}, {"activations", {}}, {"driver, buffers", {}}, {"KV asked for", {}}};
  for (const PlanRow& row : plan.rows) {
    if (!row.degree.possible) continue;
    const MemoryPlan& m = row.memory;
    const int64_t rest = m.fixed() - m.weights - m.activations;
    const std::array bytes = {m.weights, m.activations, rest, m.kv_needed};
    for (size_t i = 0; i < parts.size(); ++i) parts[i].points.emplace_back(row.degree.tp, static_cast<double>(bytes[i]) / 1e9);
  }
  if (!parts.front().points.empty()) memory.stacked = parts;
  return to_svg({speed, memory});
}

}  // namespace lockstep
