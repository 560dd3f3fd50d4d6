// TickBoard: how the ranks of one host wait for each other in shared memory: every rank has a counter that it alone advances.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lockstep {

class TickBoard {
 public:
  struct WaitPolicy {
    // With the pause instruction; 0 where a peer may need this core. Short, because two ranks may share a core by the scheduler's
    // choice, and offering the core to others costs next to nothing where nobody wants it.
    double spin_us = 10.0;
    double yield_us = 500.0;  // then offering the core; after that the rank sleeps until it is woken
    double timeout_s = 300.0;
  };
  enum class Outcome { kArrived, kTimedOut, kAborted };

  static size_t bytes_needed(int ranks) { return sizeof(Line) * (static_cast<size_t>(ranks) + 1); }

  TickBoard() = default;
  // memory: bytes_needed(ranks) zeros, 64-byte aligned, shared by all. rank: ours.
  TickBoard(void* memory, int rank) : lines_(static_cast<Line*>(memory)), rank_(rank) {}

  // Advances our counter and returns it; everything that we wrote before becomes visible to who sees it.
  uint32_t publish();
  // Until `rank` has published at least `tick` times (modulo 2^32).
  Outcome wait(int rank, uint32_t tick, const WaitPolicy& policy) const;

  // Makes every present and future wait of every rank return kAborted.
  void abort() noexcept;
  bool aborted() const { return lines_[0].tick.load(std::memory_order_relaxed) != 0; }

 private:
  // One cache line a rank, two apart: the prefetcher fetches lines in pairs.
  struct alignas(128) Line {
    std::atomic<uint32_t> tick;      // also the futex word
    std::atomic<uint32_t> sleepers;  // how many ranks sleep on it
  };
  static_assert(std::atomic<uint32_t>::is_always_lock_free);

  Line& line(int rank) const { return lines_[rank + 1]; }
  static bool reached(uint32_t tick, uint32_t wanted) { return static_cast<int32_t>(tick - wanted) >= 0; }

  Line* lines_ = nullptr;  // line 0: the abort flag
  int rank_ = 0;
  uint32_t published_ = 0;
};

}  // namespace lockstep
