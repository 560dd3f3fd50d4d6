#include "comm/parent_watch.h"

#include <unistd.h>

#include <chrono>
#include <cstring>

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kInterval{200};

}  // namespace

// Not PR_SET_PDEATHSIG: that means the thread that forked, and launchers fork from threads that end.
ParentWatch::ParentWatch()
    : thread_([this, parent = ::getppid()] {
        std::unique_lock lock(mutex_);
        while (!changed_.wait_for(lock, kInterval, [this] { return stopped_; })) {
          if (::getppid() == parent) continue;
          constexpr const char* kMessage = "lockstep: error: the launcher of this rank is gone; so is this rank\n";
          [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, kMessage, std::strlen(kMessage));
          ::_exit(1);
        }
      }) {}

ParentWatch::~ParentWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace lockstep
