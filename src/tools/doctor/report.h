// What `lockstep doctor` prints.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/doctor/finding.h"
#include "tools/doctor/job.h"
#include "tools/doctor/recommend.h"

namespace lockstep::doctor {

struct Report {
  Findings findings;
  Recommendation recommendation;
  double seconds = 0.0;
};

std::string table_of(const Job& job, const Report& report);
nlohmann::ordered_json json_of(const Job& job, const Report& report);

}  // namespace lockstep::doctor
