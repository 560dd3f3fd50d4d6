#include "comm/tick_board.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <climits>

#include "comm/backoff.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// Not FUTEX_PRIVATE: other processes wake us.
void futex_sleep(const std::atomic<uint32_t>& word, uint32_t seen) {
  const timespec limit{0, 20'000'000};  // then look at the abort flag and the clock
  syscall(SYS_futex, reinterpret_cast<const uint32_t*>(&word), FUTEX_WAIT, seen, &limit, nullptr, 0);
}

void futex_wake_all(const std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<const uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

uint32_t TickBoard::publish() {
  Line& mine = line(rank_);
  ++published_;
  mine.position.store(position_, std::memory_order_relaxed);
  mine.places[published_ % kPlaces].store(hash_of(position_), std::memory_order_relaxed);
  // Sequentially consistent, like the sleeper's pair of operations: either we see the sleeper, or it sees the new tick.
  mine.tick.store(published_, std::memory_order_seq_cst);
  if (mine.sleepers.load(std::memory_order_seq_cst) > 0) futex_wake_all(mine.tick);
  return published_;
}

TickBoard::Outcome TickBoard::wait(int rank, uint32_t tick, const WaitPolicy& policy) const {
  Line& theirs = line(rank);
  if (reached(theirs.tick.load(std::memory_order_acquire), tick)) return Outcome::kArrived;

  const auto start = Clock::now();
  double waited = 0.0;
  while (waited < policy.spin_us) {
    for (int i = 0; i < 32; ++i) {
      if (reached(theirs.tick.load(std::memory_order_acquire), tick)) return Outcome::kArrived;
      cpu_pause();
    }
    waited = microseconds_since(start);
  }
  while (waited < policy.spin_us + policy.yield_us) {
    sched_yield();
    if (reached(theirs.tick.load(std::memory_order_acquire), tick)) return Outcome::kArrived;
    waited = microseconds_since(start);
  }
  while (true) {
    theirs.sleepers.fetch_add(1, std::memory_order_seq_cst);
    const uint32_t seen = theirs.tick.load(std::memory_order_seq_cst);
    if (!reached(seen, tick)) futex_sleep(theirs.tick, seen);
    theirs.sleepers.fetch_sub(1, std::memory_order_relaxed);
    if (reached(theirs.tick.load(std::memory_order_acquire), tick)) return Outcome::kArrived;
    if (aborted()) return Outcome::kAborted;
    if (microseconds_since(start) > policy.timeout_s * 1e6) return Outcome::kTimedOut;
  }
}

void TickBoard::abort() noexcept { lines_[0].tick.store(1, std::memory_order_relaxed); }

}  // namespace lockstep
