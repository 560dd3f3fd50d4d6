// ThreadPool: the threads of one rank. The caller is one of them; the others spin for some microseconds after each piece of
// work, because the next op follows at once, and then sleep, because the core may be needed by another rank.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace lockstep::cpu {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // >= 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(t) for t in [0, count) at the same time, fn(0) on the caller, and returns when all have returned. The first
  // exception is thrown again here. 1 <= count <= threads(). Not reentrant, and for one caller at a time.
  template <typename Fn>
  void run(int count, Fn&& fn) {
    using Plain = std::remove_reference_t<Fn>;
    if (count == 1) {
      fn(0);
      return;
    }
    dispatch(
        count, [](void* context, int thread) { (*static_cast<Plain*>(context))(thread); },
        const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
  }

  // fn(begin, end) over a static partition of [0, n): contiguous runs, multiples of `grain` long but for the last, at most one a
  // thread; which run a thread gets depends on n and grain alone.
  template <typename Fn>
  void parallel_for(int64_t n, int64_t grain, Fn&& fn) {
    if (n <= 0) return;
    const int64_t units = (n + grain - 1) / grain;
    const int count = static_cast<int>(units < threads() ? units : threads());
    run(count, [&](int t) {
      const int64_t begin = units * t / count * grain;
      const int64_t end = units * (t + 1) / count * grain;
      if (begin < n) fn(begin, end < n ? end : n);
    });
  }

  // fn(thread, i) for i in [0, n), handed out one by one: for items whose cost differs. At most max_threads take part.
  template <typename Fn>
  void parallel_items(int64_t n, int max_threads, Fn&& fn) {
    if (n <= 0) return;
    int count = threads() < max_threads ? threads() : max_threads;
    if (n < count) count = static_cast<int>(n);
    std::atomic<int64_t> next{0};
    run(count, [&](int t) {
      for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < n; i = next.fetch_add(1, std::memory_order_relaxed))
        fn(t, i);
    });
  }

 private:
  using Work = void (*)(void* context, int thread);
  struct alignas(64) Worker {
    std::atomic<uint32_t> ticket{0};  // counts the pieces of work given to this worker; a futex
    std::atomic<uint32_t> asleep{0};
    std::thread thread;
  };

  void dispatch(int count, Work work, void* context);
  void work_loop(Worker& worker, int thread);
  void call(int thread) noexcept;

  std::vector<std::unique_ptr<Worker>> workers_;
  alignas(64) std::atomic<uint32_t> pending_{0};  // workers that have not finished; a futex
  std::atomic<uint32_t> caller_asleep_{0};
  // Written before the tickets, read after them.
  alignas(64) Work work_ = nullptr;
  void* context_ = nullptr;
  bool stop_ = false;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace lockstep::cpu
