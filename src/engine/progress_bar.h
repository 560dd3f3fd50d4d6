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
  bool enabled() const { return enabled_; }
  // done and total: bytes, which it shows with their rate.
  void update(int64_t done, int64_t total);
  // The same for what is not bytes: figures is shown as it is.
  void update(int64_t done, int64_t total, const std::string& figures);

 private:
  // Whether it is time to draw again.
  bool is_due(int64_t total);
  void draw(int64_t done, int64_t total, const std::string& figures);

  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace lockstep
