// StopSignal: SIGINT and SIGTERM (and SIGUSR1, where that is asked for) ask for an orderly end instead of killing the process.
#pragma once

#include <signal.h>

#include <atomic>

namespace lockstep {

// While an object lives, the first SIGINT or SIGTERM sets requested(); a second SIGINT ends the process at once with exit code
// 130. At most one object at a time (throws Error); the previous handlers return with its end.
class StopSignal {
 public:
  enum class Also { kNothing, kUser1 };
  explicit StopSignal(Also also = Also::kNothing);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const { return received_.load(std::memory_order_relaxed) != 0; }
  // Whether a signal came while some object lived or lives; for those who have none.
  static bool any_received() { return received_.load(std::memory_order_relaxed) != 0; }
  int number() const { return received_.load(std::memory_order_relaxed); }  // SIGINT, SIGTERM, SIGUSR1 or 0
  // 128 + the signal's number, as shells report it; 0 without a signal.
  int exit_code() const { return requested() ? 128 + number() : 0; }

 private:
  static void handle(int number);

  // A signal handler can reach nothing but static storage.
  static inline std::atomic<int> received_{0};
  static inline std::atomic<bool> installed_{false};
  static_assert(std::atomic<int>::is_always_lock_free);
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
  struct sigaction previous_user1_ {};
  bool user1_;
};

}  // namespace lockstep
