// Backoff: how a rank polls for something that another process brings about: first it spins, then yields, then sleeps for
// longer and longer.
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <chrono>

namespace lockstep {

// One pause instruction: a spinning hyper-thread leaves the core's units to its sibling.
inline void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class Backoff {
 public:
  using Clock = std::chrono::steady_clock;

  // cores_are_scarce: some peer needs the core that we would spin on, so never spin.
  explicit Backoff(bool cores_are_scarce) : spin_(cores_are_scarce ? 0 : 20), start_(Clock::now()) {}

  Clock::duration elapsed() const { return Clock::now() - start_; }

  void pause() {
    const auto waited = elapsed();
    if (waited < spin_) {
      cpu_pause();
    } else if (waited < spin_ + kYieldFor) {
      sched_yield();
    } else {
      const timespec duration{0, sleep_.count()};
      nanosleep(&duration, nullptr);
      sleep_ = std::min(sleep_ * 5 / 4, waited < kLongWait ? kLongestSleep : kLongestSleepOfAll);
    }
  }

 private:
  static constexpr std::chrono::microseconds kYieldFor{200};
  static constexpr std::chrono::nanoseconds kLongestSleep{200'000}, kLongestSleepOfAll{1'000'000};
  static constexpr std::chrono::milliseconds kLongWait{100};  // a rank that idles: a millisecond matters less than its core

  std::chrono::microseconds spin_;
  Clock::time_point start_;
  std::chrono::nanoseconds sleep_{10'000};
};

}  // namespace lockstep
