// ParentWatch: ends this process when its launcher is gone, so that nothing of a killed job goes on computing and writing.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace lockstep {

// While it lives, a thread looks a few times a second whether the process still has the parent that it had when the object was
// made. If not, it prints why and ends the process at once, with exit code 1.
class ParentWatch {
 public:
  ParentWatch();
  ~ParentWatch();
  ParentWatch(const ParentWatch&) = delete;
  ParentWatch& operator=(const ParentWatch&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace lockstep
