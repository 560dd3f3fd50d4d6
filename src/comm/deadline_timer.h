// DeadlineTimer: runs a function on a thread of its own unless it is destroyed within the deadline. For calls that cannot be
// given a deadline themselves, such as MPI_Init.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace lockstep {

class DeadlineTimer {
 public:
  DeadlineTimer(std::chrono::duration<double> deadline, std::function<void()> on_expiry)
      : thread_([this, deadline, on_expiry = std::move(on_expiry)](std::stop_token stop) {
          std::unique_lock lock(mutex_);
          changed_.wait_for(lock, stop, deadline, [] { return false; });
          if (!stop.stop_requested()) on_expiry();
        }) {}
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses the others, and its destructor cancels the timer
};

}  // namespace lockstep
