#include "tools/doctor/finding.h"

#include <algorithm>

namespace lockstep::doctor {

std::string_view name_of(Status status) {
  switch (status) {
    case Status::kSkip: return "skip";
    case Status::kPass: return "pass";
    case Status::kWarn: return "warn";
    case Status::kFail: return "fail";
  }
  return "?";
}

Status worst(const Findings& findings) {
  Status result = Status::kSkip;
  for (const Finding& finding : findings) result = std::max(result, finding.status);
  return result;
}

}  // namespace lockstep::doctor
