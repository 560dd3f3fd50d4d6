// Finding: what one check of `lockstep doctor` says of some ranks: what was seen, what was expected, and what to do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::doctor {

// In the order of how bad they are.
enum class Status { kSkip, kPass, kWarn, kFail };
std::string_view name_of(Status status);  // "skip", "pass", "warn", "fail"

struct Verdict {
  Status status = Status::kPass;
  std::string seen;
  std::string expected;  // empty where `seen` says it all
  std::string remedy;    // of a warning or a failure
  bool operator==(const Verdict&) const = default;
};

struct Finding : Verdict {
  Finding() = default;
  Finding(std::string check, std::string where, std::vector<int> ranks, Verdict verdict)
      : Verdict(std::move(verdict)), check(std::move(check)), where(std::move(where)), ranks(std::move(ranks)) {}
  std::string check;       // "locked memory"
  std::string where;       // "all ranks", "rank 2 on node1", "node1"
  std::vector<int> ranks;  // that it is about
};

using Findings = std::vector<Finding>;

Status worst(const Findings& findings);
inline void append(Findings& to, Findings more) { to.insert(to.end(), more.begin(), more.end()); }

}  // namespace lockstep::doctor
