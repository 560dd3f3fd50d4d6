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
  static constexpr uint32_t kPlaces = 8;
  enum class Outcome { kArrived, kTimedOut, kAborted };

  static size_t bytes_needed(int ranks) { return sizeof(Line) * (static_cast<size_t>(ranks) + 1); }

  TickBoard() = default;
  // memory: bytes_needed(ranks) zeros, 64-byte aligned, shared by all. rank: ours.
  TickBoard(void* memory, int rank) : lines_(static_cast<Line*>(memory)), rank_(rank) {}

  // What the ticks from here on belong to. Ranks that publish the same tick must be in the same collective; see same_place().
  void begin_collective(uint64_t position) { position_ = position; }

  // Advances our counter and returns it; everything that we wrote before becomes visible to who sees it.
  uint32_t publish();
  // Until `rank` has published at least `tick` times (modulo 2^32).
  Outcome wait(int rank, uint32_t tick, const WaitPolicy& policy) const;

  // After wait() for this tick has returned kArrived: whether that rank published it at the position where we are. Neither may be
  // more than kPlaces - 1 ticks ahead of the other.
  bool same_place(int rank, uint32_t tick) const { return place_at(rank, tick) == hash_of(position_); }
  uint32_t place_at(int rank, uint32_t tick) const {  // hash of the position at which it published this tick
    return line(rank).places[tick % kPlaces].load(std::memory_order_relaxed);
  }
  uint64_t place_of(int rank) const { return line(rank).position.load(std::memory_order_relaxed); }  // where it is now

  // Makes every present and future wait of every rank return kAborted.
  void abort() noexcept;
  bool aborted() const { return lines_[0].tick.load(std::memory_order_relaxed) != 0; }

 private:
  // One cache line a rank, two apart: the prefetcher fetches lines in pairs.
  struct alignas(128) Line {
    std::atomic<uint32_t> tick;      // also the futex word
    std::atomic<uint32_t> sleepers;  // how many ranks sleep on it
    // In the same 64 bytes, so that whoever waits for the tick has them, too.
    std::atomic<uint32_t> places[kPlaces];  // hashes of the position, by tick modulo kPlaces
    std::atomic<uint64_t> position;         // the present one, for messages
  };
  static_assert(std::atomic<uint32_t>::is_always_lock_free);

  static uint32_t hash_of(uint64_t position) { return static_cast<uint32_t>(position * 0x9E3779B97F4A7C15ull >> 32); }
  Line& line(int rank) const { return lines_[rank + 1]; }
  static bool reached(uint32_t tick, uint32_t wanted) { return static_cast<int32_t>(tick - wanted) >= 0; }

  Line* lines_ = nullptr;  // line 0: the abort flag
  int rank_ = 0;
  uint32_t published_ = 0;
  uint64_t position_ = 0;
};

}  // namespace lockstep
