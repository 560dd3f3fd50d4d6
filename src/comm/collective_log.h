// CollectiveLog: how far a rank has come in its sequence of collectives. Written by the thread that calls them, read by others.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace lockstep {

// Where a rank is: comparable between ranks, since all go through the same steps and collectives.
struct CollectivePosition {
  enum class Kind : uint32_t { kNone, kAllReduce, kAllGather };

  int64_t step = 0;
  Kind kind = Kind::kNone;
  int64_t number = 0;  // among those of its kind in this step, from 1
  int64_t bytes = 0;

  // All four in one word, as far as they fit: 24 bits, 2, 14, 24 (of bytes / 4).
  uint64_t packed() const {
    return static_cast<uint64_t>(step & 0xffffff) << 40 | static_cast<uint64_t>(kind) << 38 |
           static_cast<uint64_t>(number & 0x3fff) << 24 | static_cast<uint64_t>(bytes / 4 & 0xffffff);
  }
  static CollectivePosition unpacked(uint64_t word) {
    return {static_cast<int64_t>(word >> 40), static_cast<Kind>(word >> 38 & 3), static_cast<int64_t>(word >> 24 & 0x3fff),
            static_cast<int64_t>(word & 0xffffff) * 4};
  }
  // "step 12, layer 3, all_reduce 9 of the step, 8192 bytes". A decoder's first AllReduce is the embedding's, then a layer has
  // two.
  std::string text() const {
    if (kind == Kind::kNone) return fmt::format("step {}, no collective yet", step);
    std::string place;
    if (kind == Kind::kAllReduce && step > 0) place = number < 2 ? "embedding, " : fmt::format("layer {}, ", (number - 2) / 2);
    return fmt::format("step {}, {}{} {} of the step, {} bytes", step, place,
                       kind == Kind::kAllReduce ? "all_reduce" : "all_gather", number, bytes);
  }
};

class CollectiveLog {
 public:
  using Kind = CollectivePosition::Kind;

  void begin_step(int64_t step) {
    step_ = step;
    reduces_ = gathers_ = 0;
  }
  void begin(Kind kind, int64_t bytes) {
    int64_t& number = kind == Kind::kAllReduce ? reduces_ : gathers_;
    current_ = CollectivePosition{step_, kind, ++number, bytes};
    begun_.store(current_.packed(), std::memory_order_relaxed);
    num_begun_.fetch_add(1, std::memory_order_relaxed);
  }
  void end() {
    completed_.store(current_.packed(), std::memory_order_relaxed);
    num_completed_.fetch_add(1, std::memory_order_relaxed);
  }
  // Collectives that ran without begin() and end().
  void count(int64_t reduces, int64_t gathers) {
    reduces_ += reduces;
    gathers_ += gathers;
    num_begun_.fetch_add(reduces + gathers, std::memory_order_relaxed);
    num_completed_.fetch_add(reduces + gathers, std::memory_order_relaxed);
  }

  uint64_t current() const { return begun_.load(std::memory_order_relaxed); }
  int64_t num_begun() const { return num_begun_.load(std::memory_order_relaxed); }
  bool is_in_one() const { return num_completed_.load(std::memory_order_relaxed) != num_begun(); }
  // `returns_when_done`: that end() means that the collective is complete, not only under way on a device.
  std::string text(bool returns_when_done) const {
    if (num_begun() == 0) return "no collective yet";
    const std::string begun = CollectivePosition::unpacked(current()).text();
    if (!returns_when_done) return "last collective started: " + begun;
    if (!is_in_one()) return "last collective completed: " + begun;
    const uint64_t completed = completed_.load(std::memory_order_relaxed);
    return fmt::format("last collective completed: {}; waiting in {}",
                       completed == 0 ? "none" : CollectivePosition::unpacked(completed).text(), begun);
  }

 private:
  int64_t step_ = 0, reduces_ = 0, gathers_ = 0;
  CollectivePosition current_;
  std::atomic<uint64_t> begun_{0}, completed_{0};
  std::atomic<int64_t> num_begun_{0}, num_completed_{0};
};

}  // namespace lockstep
