// A plan in sections for people, and as JSON for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "plan/plan.h"
#include "plan/report.h"

namespace lockstep {

std::vector<Section> sections_of(const Plan& plan);
// Sizes in bytes, times in seconds.
nlohmann::ordered_json to_json(const Plan& plan);
nlohmann::ordered_json to_json(const MemoryPlan& memory);

// The model alone: its size in the formats, and KV.
Section model_section(const PlannedModel& model, const MemoryNeed& need);
nlohmann::ordered_json model_json(const PlannedModel& model);

// "1.5 GB", "12.3 MB"; powers of ten.
std::string bytes_text(double bytes);

}  // namespace lockstep
