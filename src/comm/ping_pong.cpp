#include "comm/ping_pong.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/backoff.h"
#include "comm/shared_memory.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 2000, kRuns = 15;

// A line that one of the two writes and the other reads.
struct alignas(128) Line {
  std::atomic<uint32_t> count;
};

// Spins; offers the core only after a while, for two ranks that have to share one.
void wait_for(const Line& line, uint32_t count, Clock::time_point deadline) {
  for (int64_t spins = 0; line.count.load(std::memory_order_acquire) != count; ++spins) {
    cpu_pause();
    if (spins % 4096 != 4095) continue;
    sched_yield();
    check(Clock::now() < deadline, "a peer did not answer while cache lines were timed");
  }
}

}  // namespace

double measure_line_hop(const World& world) {
  constexpr size_t kBytes = 2 * sizeof(Line);
  const bool plays = world.local_size() > 1 && world.local_rank() < 2;
  int first = -1;  // of this host
  for (int r = world.rank(); plays && r >= 0; --r) {
    if (world.host_of(r) == world.host()) first = r;
  }
  SharedMemory memory = SharedMemory::share(world, first, kBytes);
  agree(world, "shared memory: reserve", [&] {
    if (plays) memory.reserve(0, kBytes);
  });
  world.barrier("ping-pong");

  double hop = 0.0;
  if (plays) {
    auto* const lines = reinterpret_cast<Line*>(memory.data());
    Line& mine = lines[world.local_rank()];
    const Line& theirs = lines[1 - world.local_rank()];
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(world.timeout());
    std::array<double, kRuns> times{};
    uint32_t count = 0;
    for (double& time : times) {
      const auto start = Clock::now();
      for (int i = 0; i < kRounds; ++i) {
        ++count;
        if (world.local_rank() == 0) mine.count.store(count, std::memory_order_release);
        wait_for(theirs, count, deadline);
        if (world.local_rank() == 1) mine.count.store(count, std::memory_order_release);
      }
      time = Seconds(Clock::now() - start).count() / (2.0 * kRounds);
    }
    std::sort(times.begin(), times.end());
    hop = times[kRuns / 2];
  }
  constexpr double kPico = 1e12;
  return static_cast<double>(world.all_max(static_cast<int64_t>(hop * kPico), "ping-pong")) / kPico;
}

}  // namespace lockstep
