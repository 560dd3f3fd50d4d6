#include "engine/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace lockstep {
namespace {

constexpr int kWidth = 40;
constexpr std::chrono::milliseconds kInterval{100};

}  // namespace

ProgressBar::ProgressBar(std::string label, bool enabled)
    : label_(std::move(label)),
      enabled_(enabled && isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

ProgressBar::~ProgressBar() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
}

bool ProgressBar::is_due(int64_t total) {
  if (!enabled_ || total <= 0) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < kInterval) return false;
  last_ = now;
  return true;
}

void ProgressBar::draw(int64_t done, int64_t total, const std::string& figures) {
  drawn_ = true;
  const double fraction = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const int filled = static_cast<int>(fraction * kWidth);
  fmt::print(stderr, "\r{} [{}{}] {:3.0f} % {}\033[K", label_, std::string(static_cast<size_t>(filled), '#'),
             std::string(static_cast<size_t>(kWidth - filled), '.'), 100.0 * fraction, figures);
  std::fflush(stderr);
}

void ProgressBar::update(int64_t done, int64_t total) {
  if (!is_due(total)) return;
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  draw(done, total,
       fmt::format("{:.1f}/{:.1f} MiB, {:.2f} GB/s", static_cast<double>(done) / 1048576.0,
                   static_cast<double>(total) / 1048576.0, static_cast<double>(done) / std::max(seconds, 1e-9) / 1e9));
}

void ProgressBar::update(int64_t done, int64_t total, const std::string& figures) {
  if (is_due(total)) draw(done, total, figures);
}

}  // namespace lockstep
