// What holds on the CPU alone: results that do not depend on neighbours or threads, to the bit; threads; memory.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "kernels/cpu/memory_info.h"
#include "kernels/cpu/thread_pool.h"
#include "unit/kernels/kernel_test.h"

namespace lockstep::test {
namespace {

class CpuTest : public KernelTest {
 protected:
  // The same ops with another number of threads.
  std::unique_ptr<Backend> with_threads(int threads) { return make_cpu_backend(threads, GetParam().backend); }

  static void expect_same_bits(const HostTensor& actual, const HostTensor& expected, const std::string& what) {
    ASSERT_EQ(actual.values.size(), expected.values.size()) << what;
    for (size_t i = 0; i < actual.values.size(); ++i) {
      ASSERT_EQ(std::memcmp(&actual.values[i], &expected.values[i], sizeof(float)), 0)
          << what << ": element " << i << " is " << actual.values[i] << " and " << expected.values[i];
      ASSERT_FALSE(std::isnan(actual.values[i])) << what << ": element " << i;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Cpu, CpuTest, ::testing::ValuesIn(params_for({"scalar", "avx2", "avx512", "avx512bf16", "amxbf16"})),
                         param_name);

TEST_P(CpuTest, ALinearsRowDoesNotDependOnItsNeighboursOrThreads) {
  for (const int64_t k : {1, 7, 576, 1100, 2500}) {
    const int64_t rows = 150, n = 301;
    const HostTensor x = random(act(), rows, k), w = random(dtype(), n, k), bias = random(dtype(), 1, n);
    const DeviceTensor dx = upload(x), dw = upload(w), db = upload(bias), whole = poisoned(act(), rows, n);
    ops().linear(whole.view, dx.view, {dw.view}, db.view);
    const HostTensor expected = download(whole);
    for (const int64_t m : {1, 2, 3, 4, 5, 8, 17, 20, 21, 33, 64, 65, 130}) {
      for (const int64_t begin : {int64_t{0}, int64_t{7}, rows - m}) {
        const DeviceTensor part = poisoned(act(), m, n);
        ops().linear(part.view, dx.view.slice_rows(begin, m), {dw.view}, db.view);
        expect_same_bits(download(part), expected.rows_of(begin, m), fmt::format("linear k={} m={} from row {}", k, m, begin));
      }
    }
    for (const int threads : {1, 2, 5}) {
      const auto other = with_threads(threads);
      for (const int64_t m : {int64_t{1}, int64_t{6}, rows}) {
        const DeviceTensor part = poisoned(act(), m, n);
        other->ops().linear(part.view, dx.view.slice_rows(0, m), {dw.view}, db.view);
        expect_same_bits(download(part), expected.rows_of(0, m), fmt::format("linear k={} m={} threads={}", k, m, threads));
      }
    }
  }
}

TEST_P(CpuTest, RoundsWhatMeetsBfloat16WeightsWhereThatIsMultiplied) {
  for (const int64_t m : {1, 70}) {
    const HostTensor x = random(DType::kFloat32, m, 300), w = random(dtype(), 50, 300);
    HostTensor nearest = x;
    for (float& value : nearest.values) value = rounded(DType::kBFloat16, value);
    const DeviceTensor dx = upload(x), dn = upload(nearest), dw = upload(w);
    const DeviceTensor out = poisoned(act(), m, 50), of_nearest = poisoned(act(), m, 50);
    ops().linear(out.view, dx.view, {dw.view}, TensorView());
    ops().linear(of_nearest.view, dn.view, {dw.view}, TensorView());
    if (rounds_operands()) {
      expect_same_bits(download(out), download(of_nearest), fmt::format("linear of {} rows", m));
    } else {
      EXPECT_NE(download(out).values, download(of_nearest).values) << m;
    }
  }
}

TEST_P(CpuTest, AttentionDoesNotDependOnNeighboursChunksOrThreads) {
  const HeadLayout heads{5, 2, 40, 3, 1};  // 2 + 3 query heads
  const int64_t width = 9 * 40;
  const int32_t context = 700;
  // All of one sequence's tokens at once, ...
  HostBatch whole = make_batch({{context, context}, {9, 50}}, 16, 10, rng_);
  const HostTensor qkv = random(act(), whole.num_tokens(), width);
  const int64_t cache_rows = whole.num_blocks * 2 * 16;
  const DeviceTensor dk = upload(random(dtype(), cache_rows, 40)), dv = upload(random(dtype(), cache_rows, 40)),
                     dqkv = upload(qkv);
  const PagedKv kv{dk.view.data, dv.view.data, dtype(), whole.num_blocks, 2, 16, 40};
  const DeviceTensor out = poisoned(act(), whole.num_tokens(), 200);
  ops().attention(out.view, dqkv.view, heads, 0.3f, DeviceBatch(backend(), whole).view, kv);
  const HostTensor expected = download(out);
  // ... and a piece of it, alone, with few and many threads.
  struct Piece {
    int32_t begin, count;
  };
  for (const auto [begin, count] : std::vector<Piece>{{699, 1}, {256, 1}, {255, 2}, {511, 1}, {600, 37}, {0, 1}, {130, 300}}) {
    HostBatch part = whole;
    part.query_start = {0, count};
    part.context_len = {begin + count};
    part.seq_slot.resize(1);
    const auto cut = [&, b = begin, c = count](auto& values) {
      values.erase(values.begin() + b + c, values.end());
      values.erase(values.begin(), values.begin() + b);
    };
    cut(part.token_ids);
    cut(part.positions);
    cut(part.token_slot);
    cut(part.kv_index);
    for (const int threads : {1, 2, 8}) {
      const auto other = with_threads(threads);
      const DeviceTensor alone = poisoned(act(), count, 200);
      other->ops().attention(alone.view, dqkv.view.slice_rows(begin, count), heads, 0.3f, DeviceBatch(*other, part).view, kv);
      expect_same_bits(download(alone), expected.rows_of(begin, count),
                       fmt::format("attention of tokens {} to {}, {} threads", begin, begin + count, threads));
    }
  }
}

TEST(ThreadPool, CallsEachThreadOnceAndCoversTheRange) {
  for (const int threads : {1, 2, 3, 8}) {
    cpu::ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(threads));
      const int count = 1 + round % threads;
      pool.run(count, [&](int t) { ++calls[static_cast<size_t>(t)]; });
      for (int t = 0; t < threads; ++t) ASSERT_EQ(calls[static_cast<size_t>(t)], t < count ? 1 : 0);
    }
    for (const int64_t n : {0, 1, 5, 100, 1001}) {
      for (const int64_t grain : {1, 7, 64}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
        pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          ASSERT_LT(begin, end);
          ASSERT_EQ(begin % grain, 0);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& s : seen) ASSERT_EQ(s, 1);
        std::vector<std::atomic<int>> items(static_cast<size_t>(n));
        pool.parallel_items(n, threads, [&](int, int64_t i) { ++items[static_cast<size_t>(i)]; });
        for (const auto& s : items) ASSERT_EQ(s, 1);
      }
    }
  }
}

TEST(ThreadPool, WakesAfterSleepingAndPassesExceptionsOn) {
  cpu::ThreadPool pool(3);
  std::atomic<int> sum{0};
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // past the spinning: the workers sleep
    pool.run(3, [&](int t) {
      if (t == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the caller sleeps, too
      sum += t + 1;
    });
  }
  EXPECT_EQ(sum, 30);
  for (const int thrower : {0, 2}) {
    EXPECT_THROW(pool.run(3, [&](int t) { check(t != thrower, "thread {} fails", t); }), Error);
  }
  pool.run(3, [&](int) { ++sum; });
  EXPECT_EQ(sum, 33);
}

TEST(CpuBackend, RefusesWhatItCannotDo) {
  EXPECT_THROW(make_cpu_backend(0), Error);
  EXPECT_THROW(make_cpu_backend(1, "sse9"), Error);
  const auto backend = make_cpu_backend(2);
  EXPECT_EQ(backend->kind(), DeviceKind::kCpu);
  EXPECT_EQ(backend->activation_dtype(DType::kBFloat16), DType::kFloat32);
  for (const size_t bytes : {size_t{1} << 50, ~size_t{0} - 100}) {
    try {
      backend->allocate(bytes, "weights of layer 7");
      FAIL() << "allocated " << bytes;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("weights of layer 7"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(std::to_string(bytes)), std::string::npos) << e.what();
    }
  }
}

TEST(CpuBackend, AllocatesAlignedBlocksOfAllSizes) {
  const auto backend = make_cpu_backend(2);
  for (const size_t bytes : {size_t{1}, size_t{255}, size_t{4097}, (size_t{1} << 20) - 1, (size_t{3} << 20) + 12345}) {
    auto* data = static_cast<char*>(backend->allocate(bytes, "test"));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 256, 0u) << bytes;
    std::memset(data, 0x5a, bytes);
    std::vector<char> back(bytes);
    backend->copy_to_host(back.data(), data, bytes);
    EXPECT_EQ(back[bytes - 1], 0x5a);
    backend->release(data);
  }
  backend->release(nullptr);
  const MemoryInfo info = backend->memory();
  EXPECT_GT(info.free_bytes, size_t{1} << 20);
  EXPECT_GE(info.total_bytes, info.free_bytes);
}

TEST(CpuBackend, MeasuresAPlausibleBandwidth) {
  const double bandwidth = make_cpu_backend(2)->measure_read_bandwidth();
  EXPECT_GT(bandwidth, 1e8);
  EXPECT_LT(bandwidth, 5e12);
}

class MemoryInfoTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / fmt::format("lockstep_memory_{}", ::getpid());
    write("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 1 kB\nMemAvailable: 600000 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  MemoryInfo read() const { return cpu::read_memory_info(root_.string() + "/"); }
  std::filesystem::path root_;
};

TEST_F(MemoryInfoTest, TheMachineAlone) {
  EXPECT_EQ(read().total_bytes, 1024000000u);
  EXPECT_EQ(read().free_bytes, 614400000u);
}

TEST_F(MemoryInfoTest, TheTightestCgroupAbove) {
  write("proc/self/cgroup", "0::/slurm/job_1/step_0\n");
  write("sys/fs/cgroup/slurm/job_1/step_0/memory.max", "max\n");
  write("sys/fs/cgroup/slurm/job_1/step_0/memory.current", "5\n");
  write("sys/fs/cgroup/slurm/job_1/memory.max", "100000000\n");
  write("sys/fs/cgroup/slurm/job_1/memory.current", "70000000\n");
  write("sys/fs/cgroup/slurm/job_1/memory.stat", "anon 1\ninactive_file 20000000\n");
  EXPECT_EQ(read().total_bytes, 100000000u);
  EXPECT_EQ(read().free_bytes, 50000000u);
}

TEST_F(MemoryInfoTest, VersionOne) {
  write("proc/self/cgroup", "11:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "200000000\n");  // inside a container the path is not visible
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "50000000\n");
  EXPECT_EQ(read().total_bytes, 200000000u);
  EXPECT_EQ(read().free_bytes, 150000000u);
}

TEST(NoCuda, SaysWhy) {
  const CudaPlatform platform = probe_cuda();
  if (platform.built) GTEST_SKIP() << "this build has CUDA";
  EXPECT_EQ(platform.device_count, 0);
  EXPECT_FALSE(platform.why_unavailable.empty());
  EXPECT_THROW(make_cuda_backend(0), Error);
  EXPECT_THROW(describe_cuda_device(0), Error);
}

TEST(CpuBackendTest, TimesWorkAfterAWarmUp) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  int runs = 0;
  const double seconds = backend->time_on_device(
      [&] {
        // The first run, which is not counted, takes long.
        std::this_thread::sleep_for(std::chrono::milliseconds(runs++ == 0 ? 200 : 5));
      },
      3);
  EXPECT_EQ(runs, 4);
  EXPECT_GE(seconds, 0.005);
  EXPECT_LT(seconds, 0.2);
  EXPECT_THROW(backend->time_on_device([] {}, 0), Error);
}

}  // namespace
}  // namespace lockstep::test
