#include "tools/doctor/examination.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "base/error.h"
#include "comm/deadline_timer.h"
#include "comm/message_probe.h"
#include "tools/doctor/remedy.h"

namespace lockstep::doctor {
namespace {

constexpr const char* kNotRun = "not run";
constexpr Seconds kPatienceOfFailed{5.0};  // for the others' outcomes, once a rank has failed itself
constexpr double kGrace = 4.0;             // beyond the deadline, for ranks to tell rank 0 how it went

}  // namespace

Examination::Examination(World& world, std::function<void(const Job&, const Report&)> print)
    : world_(world), print_(std::move(print)) {
  for (int r = 0; r < world.size(); ++r) {  // until the facts are there, what the launcher says
    RankFacts facts;
    facts.launch.rank = r;
    facts.launch.host = world.host_of(r);
    job_.ranks.push_back(facts);
  }
}

void Examination::set_job(Job job) {
  const std::lock_guard lock(mutex_);
  job_ = std::move(job);
}

void Examination::add(Findings findings) {
  const std::lock_guard lock(mutex_);
  append(findings_, std::move(findings));
}

Report Examination::report(const Recommendation& recommendation) const {
  Report report{findings_, recommendation};
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return report;
}

void Examination::give_up(const std::string& check, const std::string& seen) {
  if (world_.is_root()) {
    const std::lock_guard lock(mutex_);
    findings_.push_back(of_all(job_, check, {Status::kFail, seen, "an end", remedy_of_error(seen)}));
    if (!std::exchange(printed_, true)) print_(job_, report({}));
  }
  world_.abort(fmt::format("doctor: {}: {}", check, seen));
}

bool Examination::step(const std::string& check, double deadline, const std::function<void()>& body) {
  if (!failed_step_.empty()) {
    if (world_.is_root())
      add({of_all(job_, check, {Status::kSkip, fmt::format("{}: '{}' did not work", kNotRun, failed_step_), "", ""})});
    return false;
  }
  world_.set_timeout(Seconds(deadline));
  // Rank 0 knows most: the others give it time to speak first.
  const DeadlineTimer timer(Seconds(2.0 * deadline + (world_.is_root() ? kGrace : 2.0 * kGrace)), [this, check, deadline] {
    give_up(check,
            fmt::format("{} has not come to an end within {:.0f} s", world_.name_of(world_.rank()), 2.0 * deadline + kGrace));
  });
  std::string mine;
  try {
    body();
  } catch (const std::exception& e) {
    mine = e.what();
    if (mine.empty()) mine = "failed";
  }
  if (!mine.empty()) world_.set_timeout(std::min(Seconds(deadline), kPatienceOfFailed));
  std::vector<std::string> outcomes;
  const bool well = share_outcome(world_, mine, outcomes);
  if (well) return true;
  failed_step_ = check;
  if (world_.is_root()) {
    std::map<std::string, std::vector<int>> by_text;
    for (int r = 0; r < world_.size(); ++r) {
      if (!outcomes[static_cast<size_t>(r)].empty()) by_text[outcomes[static_cast<size_t>(r)]].push_back(r);
    }
    for (const auto& [text, ranks] : by_text)
      add({Finding(check, job_.describe(ranks), ranks, {Status::kFail, text, "no error", remedy_of_error(text)})});
  }
  return false;
}

int Examination::finish(const Recommendation& recommendation) {
  int code = 0;
  if (world_.is_root()) {
    const std::lock_guard lock(mutex_);
    code = worst(findings_) == Status::kFail ? 1 : 0;
    if (!std::exchange(printed_, true)) print_(job_, report(recommendation));
  }
  // After a failed step collectives may be half done somewhere, and MPI_Finalize would wait for them.
  if (!failed_step_.empty() && world_.size() > 1) {
    // Rank 0 may have learnt of the failure later: it prints the report, and ends the others.
    if (!world_.is_root()) std::this_thread::sleep_for(Seconds(2.0 * kGrace));
    world_.abort(world_.is_root() ? fmt::format("doctor: '{}' did not work; see the report", failed_step_) : failed_step_);
  }
  return static_cast<int>(world_.all_max(code, "the end of the examination"));
}

}  // namespace lockstep::doctor
