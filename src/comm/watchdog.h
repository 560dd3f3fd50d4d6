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
#include <vector>

#include "comm/world.h"

namespace lockstep {

class Communicator;

// Between arm() and disarm(), progress() must come at least every `timeout` seconds. On expiry, or when a watched communicator
// reports an asynchronous error, the watchdog asks the other ranks where they are. The lowest rank that lives prints what stands
// still, since when, and who is missing or behind; then it aborts the watched communicators' device work and the job, within five
// seconds of the deadline. While it lives, an error that ends the rank is printed with where the rank was. Thread-safe.
class Watchdog {
 public:
  using OnExpiry = std::function<void(const std::string& message)>;

  // on_expiry, where given, is called instead of all that (tests). world must outlive the watchdog.
  Watchdog(const World& world, Seconds timeout, OnExpiry on_expiry = nullptr);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void watch(Communicator& communicator);  // must outlive the watchdog
  void arm(const std::string& what);       // for instance "step 17, 4 sequences"
  void progress(const std::string& what);  // a new `what` and a fresh deadline
  void disarm();
  // Like disarm(), for a rank that waits for work as long as it takes: now and then, every `timeout` seconds, it asks whether the
  // others are still there, and gives up when one of them is not.
  void rest();

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
  RankStatus status() const;
  void look();
  std::optional<std::string> trouble() const;
  std::optional<std::string> absence();  // the same, of a rank that rests
  void forgive(Clock::duration gap);

  const World& world_;
  const Seconds timeout_;
  const OnExpiry on_expiry_;
  const int exceptions_at_start_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Communicator*> communicators_;
  bool armed_ = false;
  bool resting_ = false;
  // Every period_ a look whether this rank is in a collective; those since it was armed that found it there.
  const Seconds period_;
  Clock::time_point armed_at_;
  int looks_waiting_ = 0;
  std::string what_ = "start-up";
  Clock::time_point since_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace lockstep
