#include "kernels/cpu/thread_pool.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <climits>

#include "base/error.h"

namespace lockstep::cpu {
namespace {

// Longer than the gap between two ops of a step, shorter than what a peer rank would notice on a shared core.
constexpr std::chrono::microseconds kSpin{20};
constexpr int kYields = 4;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake_one(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

// Waits until done(word): spins, yields, then sleeps. `asleep` tells the other side to wake us; both sides write their own flag
// and then read the other's, sequentially consistent, so that one of them always sees the other.
template <typename Done>
void wait_until(std::atomic<uint32_t>& word, std::atomic<uint32_t>& asleep, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done(word.load(std::memory_order_acquire))) return;
      pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  for (int i = 0; i < kYields; ++i) {
    sched_yield();
    if (done(word.load(std::memory_order_acquire))) return;
  }
  asleep.store(1, std::memory_order_seq_cst);
  for (uint32_t value = word.load(std::memory_order_seq_cst); !done(value); value = word.load(std::memory_order_seq_cst)) {
    futex_wait(word, value);
  }
  asleep.store(0, std::memory_order_relaxed);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  check(threads >= 1 && threads <= 4096, "threads per rank is {}, expected 1 to 4096", threads);
  for (int i = 1; i < threads; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    Worker& worker = *workers_.back();
    worker.thread = std::thread([this, &worker, i] { work_loop(worker, i); });
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  for (auto& worker : workers_) {
    worker->ticket.fetch_add(1, std::memory_order_seq_cst);
    futex_wake_one(worker->ticket);
    worker->thread.join();
  }
}

void ThreadPool::call(int thread) noexcept {
  try {
    work_(context_, thread);
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::dispatch(int count, Work work, void* context) {
  check(count >= 1 && count <= threads(), "asked for {} threads of a pool of {}", count, threads());
  work_ = work;
  context_ = context;
  pending_.store(static_cast<uint32_t>(count - 1), std::memory_order_relaxed);
  for (int i = 0; i < count - 1; ++i) {
    Worker& worker = *workers_[i];
    worker.ticket.fetch_add(1, std::memory_order_seq_cst);
    if (worker.asleep.load(std::memory_order_seq_cst)) futex_wake_one(worker.ticket);
  }
  call(0);
  wait_until(pending_, caller_asleep_, [](uint32_t pending) { return pending == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work_loop(Worker& worker, int thread) {
  for (uint32_t seen = 0;; ++seen) {
    wait_until(worker.ticket, worker.asleep, [seen](uint32_t ticket) { return ticket != seen; });
    if (stop_) return;
    call(thread);
    if (pending_.fetch_sub(1, std::memory_order_seq_cst) == 1 && caller_asleep_.load(std::memory_order_seq_cst)) {
      futex_wake_one(pending_);
    }
  }
}

}  // namespace lockstep::cpu
