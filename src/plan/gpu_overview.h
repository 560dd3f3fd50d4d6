// One line for every GPU that is known: how many hold the model, and how fast they are.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plan/report.h"

namespace lockstep {

struct GpuOverview {
  Gpu gpu;
  int fewest = 0;               // ranks of a node that hold the model as asked for; 0: more than a node has
  int fewest_int4 = 0;          // the same with int4 weights
  MemoryPlan memory;            // with `fewest` ranks
  double token_seconds = 0.0;   // at the request's concurrency
  double single_seconds = 0.0;  // of one sequence
};

// Of `request` all but the cluster; gpus_per_node: of every GPU.
std::vector<GpuOverview> overview_of(const PlanRequest& request, int gpus_per_node);
Section section_of(const std::vector<GpuOverview>& rows, const PlanRequest& request);
nlohmann::ordered_json to_json(const std::vector<GpuOverview>& rows, const PlanRequest& request);

}  // namespace lockstep
