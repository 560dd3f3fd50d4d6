// ChatSignals: SIGINT stops the answer, SIGTERM ends the chat.
#pragma once

#include <signal.h>

#include <atomic>

namespace lockstep {

// While an object lives, these signals only set flags, and interrupt a read(2) that waits. At most one object at a time; the
// previous handlers return with its end.
class ChatSignals {
 public:
  ChatSignals();
  ~ChatSignals();
  ChatSignals(const ChatSignals&) = delete;
  ChatSignals& operator=(const ChatSignals&) = delete;

  bool interrupted() const { return interrupted_.load(std::memory_order_relaxed); }
  bool ended() const { return ended_.load(std::memory_order_relaxed); }
  void forget_interrupt() { interrupted_ = false; }

 private:
  static void handle(int number);

  // A signal handler can reach nothing but static storage.
  static inline std::atomic<bool> interrupted_{false};
  static inline std::atomic<bool> ended_{false};
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
};

}  // namespace lockstep
