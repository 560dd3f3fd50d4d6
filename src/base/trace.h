// Trace: what the host does and when, for --profile. `const TraceSpan span("schedule");` marks the rest of a scope.
//
// Like the log, there is one trace a process, so that a span can be set anywhere without handing an object down to it. While
// nobody traces, a span costs one relaxed load.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

namespace lockstep {

class Trace {
 public:
  struct Span {
    const char* name;  // as given: a string literal
    int thread;        // counted from 0 in the order in which threads first ended a span
    int64_t begin_ns;  // of now_ns()
    int64_t end_ns;
  };

  // Forgets what was recorded and records from now on.
  static void start();
  // Ends the recording; the spans that ended in it, in the order of their ends. Spans that are still open are not among them.
  static std::vector<Span> stop();

  static bool is_on() noexcept { return on_.load(std::memory_order_relaxed); }
  static int64_t now_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  // Called by TraceSpan. Drops the span when the recording has ended meanwhile.
  static void record(const char* name, int64_t begin_ns) noexcept;

 private:
  static inline std::atomic<bool> on_{false};
};

// Records the time from its construction to its destruction. name must be a string literal.
class TraceSpan {
 public:
  explicit TraceSpan(const char* name) noexcept : name_(name), begin_ns_(Trace::is_on() ? Trace::now_ns() : kOff) {}
  ~TraceSpan() {
    if (begin_ns_ != kOff) Trace::record(name_, begin_ns_);
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  static constexpr int64_t kOff = -1;
  const char* name_;
  int64_t begin_ns_;
};

}  // namespace lockstep
