#include "comm/watchdog.h"

#include <fmt/format.h>

#include <algorithm>

#include "comm/communicator.h"

namespace lockstep {

Watchdog::Watchdog(const World& world, Seconds timeout, OnExpiry on_expiry)
    : world_(world), timeout_(timeout), on_expiry_(std::move(on_expiry)), thread_([this](std::stop_token stop) { run(stop); }) {}

void Watchdog::watch(Communicator& communicator) {
  const std::lock_guard lock(mutex_);
  communicators_.push_back(&communicator);
}

void Watchdog::arm(const std::string& what) {
  const std::lock_guard lock(mutex_);
  armed_ = true;
  what_ = what;
  since_ = Clock::now();
}

void Watchdog::progress(const std::string& what) { arm(what); }

void Watchdog::disarm() {
  const std::lock_guard lock(mutex_);
  armed_ = false;
}

std::optional<std::string> Watchdog::trouble() const {
  std::string collectives;
  for (Communicator* c : communicators_)
    collectives += fmt::format("; last collective ({}): {}", c->description(), c->last_collective());
  for (Communicator* c : communicators_) {
    if (const auto error = c->async_error()) {
      return fmt::format("{}: {}{}", armed_ ? what_ : "between steps", *error, collectives);
    }
  }
  const Seconds age = Clock::now() - since_;
  if (!armed_ || age < timeout_) return std::nullopt;
  return fmt::format("{} made no progress for {:.1f} s (limit {:.1f} s){}; a peer may be dead, stopped or unreachable", what_,
                     age.count(), timeout_.count(), collectives);
}

void Watchdog::run(std::stop_token stop) {
  const Seconds period = std::clamp(timeout_ / 20.0, Seconds(0.01), Seconds(0.5));
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_for(lock, stop, period, [] { return false; });
    if (stop.stop_requested()) return;
    const auto message = trouble();
    if (!message) continue;
    for (Communicator* c : communicators_) c->abort();
    if (!on_expiry_) world_.abort(*message);
    on_expiry_(*message);
    return;
  }
}

}  // namespace lockstep
