#include "comm/watchdog.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "comm/communicator.h"
#include "comm/rank_position.h"
#include "comm/roll_call.h"

namespace lockstep {
namespace {

// A thread that slept so much longer than it wanted to was stopped, not only kept waiting for a core.
constexpr Seconds kStandstill{1.5};
// So that a share of them says something.
constexpr double kEnoughLooks = 8.0;

}  // namespace

Watchdog::Watchdog(const World& world, Seconds timeout, OnExpiry on_expiry)
    : world_(world),
      timeout_(timeout),
      on_expiry_(std::move(on_expiry)),
      exceptions_at_start_(std::uncaught_exceptions()),
      period_(std::clamp(timeout / 20.0, Seconds(0.01), Seconds(0.25))),
      thread_([this](std::stop_token stop) { run(stop); }) {
  world_.set_status([this] { return status(); });
}

Watchdog::~Watchdog() {
  // The error that is on its way to main() should still be told with where the rank was.
  const bool failing = std::uncaught_exceptions() > exceptions_at_start_;
  world_.set_status(failing ? [last = status()] { return last; } : std::function<RankStatus()>());
}

void Watchdog::watch(Communicator& communicator) {
  const std::lock_guard lock(mutex_);
  communicators_.push_back(&communicator);
}

void Watchdog::arm(const std::string& what) {
  const std::lock_guard lock(mutex_);
  armed_ = true;
  resting_ = false;
  what_ = what;
  since_ = Clock::now();
  armed_at_ = since_;
  looks_waiting_ = 0;
}

void Watchdog::progress(const std::string& what) { arm(what); }

void Watchdog::disarm() {
  const std::lock_guard lock(mutex_);
  armed_ = resting_ = false;
}

void Watchdog::rest() {
  const std::lock_guard lock(mutex_);
  armed_ = false;
  resting_ = true;
  since_ = Clock::now();
}

std::optional<std::string> Watchdog::absence() {
  // Twice, because a machine may be too busy for an answer; so early that it is known who does not answer when the time is up.
  const Seconds early = std::min(2.0 * Seconds(RollCall::kPatience), timeout_ / 2.0);
  {
    const std::lock_guard lock(mutex_);
    if (!resting_ || Clock::now() - since_ < timeout_ - early) return std::nullopt;
    since_ = Clock::now();
  }
  if (world_.everybody_answers() || world_.everybody_answers()) return std::nullopt;
  return "while this rank waited for work";
}

// Where this whole process stood still (Ctrl-Z, a machine that slept), the others most likely did so, too.
void Watchdog::forgive(Clock::duration gap) {
  const std::lock_guard lock(mutex_);
  since_ += gap;
}

RankStatus Watchdog::status() const {
  const std::lock_guard lock(mutex_);
  RankPosition position;
  RankStatus status{0, (armed_ ? "" : "after ") + what_};
  for (Communicator* c : communicators_) {
    position.begun += c->log().num_begun();
    position.step = CollectivePosition::unpacked(c->log().current()).step;
    status.text += "; " + c->last_collective();
  }
  status.position = position.packed();
  // A rank that did not come to look, for want of a core, did not wait either.
  const double looks = Seconds(Clock::now() - armed_at_) / period_;
  if (armed_ && looks >= kEnoughLooks) status.waiting = std::min(1.0, looks_waiting_ / looks);
  return status;
}

void Watchdog::look() {
  const std::lock_guard lock(mutex_);
  if (!armed_) return;
  const auto waits = [](Communicator* c) { return c->is_waiting(); };
  if (world_.is_waiting() || std::any_of(communicators_.begin(), communicators_.end(), waits)) ++looks_waiting_;
}

std::optional<std::string> Watchdog::trouble() const {
  const std::lock_guard lock(mutex_);
  for (Communicator* c : communicators_) {
    if (const auto error = c->async_error()) return fmt::format("{}: {}", armed_ ? what_ : "between steps", *error);
  }
  const Seconds age = Clock::now() - since_;
  if (!armed_ || age < timeout_) return std::nullopt;
  return fmt::format("{} made no progress for {:.1f} s (limit {:.1f} s)", what_, age.count(), timeout_.count());
}

void Watchdog::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const Clock::time_point before = Clock::now();
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, period_, [] { return false; });
    }
    if (stop.stop_requested()) return;
    if (const auto waited = Clock::now() - before; waited > period_ + kStandstill) {
      forgive(std::chrono::duration_cast<Clock::duration>(waited));
    }
    look();
    auto message = trouble();
    if (on_expiry_) {
      if (!message) continue;
      on_expiry_(*message + "; " + status().text);
      for (Communicator* c : communicators_) c->abort();
      return;
    }
    if (!message) message = absence();
    if (!message) continue;
    world_.give_up(*message, [this] {
      for (Communicator* c : communicators_) c->abort();
    });
  }
}

}  // namespace lockstep
