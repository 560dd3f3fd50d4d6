// Watchdog: one thread a rank that ends the job when the work under watch stands still, even where the main thread is stuck in
// a call that has no deadline of its own (a synchronize behind a collective that a dead peer never joins).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "comm/world.h"

namespace lockstep {

class Communicator;

// Between arm() and disarm(), progress() must come at least every `timeout` seconds. On expiry, or when a watched communicator
// reports an asynchronous error, the watchdog calls `on_expiry` with a message that names the work, its age and the last
// collective of each watched communicator; then it aborts these communicators' device work and the job. Thread-safe.
class Watchdog {
 public:
  using OnExpiry = std::function<void(const std::string& message)>;

  // on_expiry, where given, is called instead of World::abort (tests). world must outlive the watchdog.
  Watchdog(const World& world, Seconds timeout, OnExpiry on_expiry = nullptr);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void watch(Communicator& communicator);  // must outlive the watchdog
  void arm(const std::string& what);       // for instance "step 17, 4 sequences"
  void progress(const std::string& what);  // a new `what` and a fresh deadline
  void disarm();

  // Arms for a scope.
  class [[nodiscard]] Guard {
   public:
    Guard(Watchdog& watchdog, const std::string& what) : watchdog_(watchdog) { watchdog_.arm(what); }
    ~Guard() { watchdog_.disarm(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Watchdog& watchdog_;
  };

 private:
  using Clock = std::chrono::steady_clock;

  void run(std::stop_token stop);
  std::optional<std::string> trouble() const;  // under the mutex

  const World& world_;
  const Seconds timeout_;
  const OnExpiry on_expiry_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Communicator*> communicators_;
  bool armed_ = false;
  std::string what_;
  Clock::time_point since_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace lockstep
