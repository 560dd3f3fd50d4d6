// Examination: the steps of a run, each with its own deadline, and the findings so far. However a step ends, the report comes.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "comm/world.h"
#include "tools/doctor/report.h"

namespace lockstep::doctor {

class Examination {
 public:
  // print: writes the report; called once, on rank 0.
  Examination(World& world, std::function<void(const Job&, const Report&)> print);

  // Rank 0's; empty before the facts are known.
  void set_job(Job job);
  const Job& job() const { return job_; }

  // Collective. Runs `body` on every rank; it may use collectives. Where it throws on any rank, or a rank does not come to its
  // end within about `deadline`, that is a failure of `check`, and further steps are skipped: the ranks may be in different
  // places. Where it hangs, the report is printed and the job ended.
  bool step(const std::string& check, double deadline, const std::function<void()>& body);

  void add(Findings findings);
  // Prints the report; returns the exit code, the same on every rank that can be reached.
  int finish(const Recommendation& recommendation);

 private:
  void give_up(const std::string& check, const std::string& seen);
  Report report(const Recommendation& recommendation) const;

  World& world_;
  std::function<void(const Job&, const Report&)> print_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  mutable std::mutex mutex_;  // of the below: a timer's thread prints them when a step hangs
  Job job_;
  Findings findings_;
  std::string failed_step_;
  bool printed_ = false;
};

}  // namespace lockstep::doctor
