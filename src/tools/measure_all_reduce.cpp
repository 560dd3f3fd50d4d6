#include "tools/measure_all_reduce.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/statistics.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// Small integers, different on every rank, whose sum float32 holds exactly.
float contribution(int64_t i, int rank) { return static_cast<float>((i * 7 + rank * 3) % 61 - 30); }

int64_t count_wrong(const World& world, Backend& backend, Communicator& communicator, TensorView x) {
  std::vector<float> host(static_cast<size_t>(x.count()));
  for (int64_t i = 0; i < x.count(); ++i) host[static_cast<size_t>(i)] = contribution(i, world.rank());
  backend.copy_to_device(x.data, host.data(), x.bytes());
  communicator.all_reduce(x);
  backend.copy_to_host(host.data(), x.data, x.bytes());
  backend.synchronize();
  int64_t wrong = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    float expected = 0.0f;
    for (int r = 0; r < world.size(); ++r) expected += contribution(i, r);
    wrong += host[static_cast<size_t>(i)] == expected ? 0 : 1;  // NaN is wrong
  }
  int64_t all = 0;
  for (const auto& text : world.all_gather(std::to_string(wrong), "the AllReduce's errors")) all += std::stoll(text);
  return all;
}

}  // namespace

AllReduceFigures measure_all_reduce(const World& world, Backend& backend, Communicator& communicator, int64_t bytes,
                                    int repeats) {
  const int64_t count = std::max<int64_t>(bytes / 4, 1);
  const auto size = static_cast<size_t>(count) * 4;
  const Buffer data(backend, size, "the message of an AllReduce");
  const TensorView x(data.data(), DType::kFloat32, 1, count);
  AllReduceFigures figures{static_cast<int64_t>(size)};
  figures.wrong = count_wrong(world, backend, communicator, x);

  // On zeros, so that repeated sums stay finite. Calls follow each other as in a forward pass; a device is waited for once a
  // batch.
  backend.set_zero(data.data(), size);
  const int batch = size <= (1u << 20) ? 20 : 2;
  std::vector<double> times;
  for (int i = -1; i < repeats; ++i) {  // the first is for warming up
    backend.synchronize();
    world.barrier("an AllReduce to be measured");
    const auto start = Clock::now();
    for (int j = 0; j < batch; ++j) communicator.all_reduce(x);
    backend.synchronize();
    const std::chrono::duration<double> time = Clock::now() - start;
    if (i >= 0) times.push_back(time.count() / batch);
  }
  const auto nanoseconds = static_cast<int64_t>(median(times) * 1e9);
  figures.seconds = static_cast<double>(world.all_max(nanoseconds, "the AllReduce's times")) / 1e9;
  return figures;
}

}  // namespace lockstep
