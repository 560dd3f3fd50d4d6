// ProgressBar: one line on stderr, redrawn while something long runs; nothing where stderr is not a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lockstep {

class ProgressBar {
 public:
  // enabled: false silences it (ranks other than 0).
  ProgressBar(std::string label, bool enabled);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void update(int64_t done, int64_t total);

 private:
  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace lockstep
