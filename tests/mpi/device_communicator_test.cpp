// Device collectives, the same body for both transports; ranks may share one GPU. Instances carry "Cuda" in their name and skip
// themselves where there is no device.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <thread>

#include "base/error.h"
#include "comm/communicator.h"
#include "kernels/backend.h"
#include "mpi/small_integers.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

constexpr size_t kMaxBytes = size_t{8} << 20;

class DeviceCommunicatorTest : public WorldFixture, public testing::WithParamInterface<AllReduceChoice> {
 protected:
  void SetUp() override {
    WorldFixture::SetUp();
    const CudaPlatform platform = probe_cuda();
    if (world().all_min(platform.device_count, "devices") == 0) GTEST_SKIP() << "no CUDA device: " << platform.why_unavailable;
    backend_ = make_cuda_backend(choose_cuda_device(world()));
    // As if every other rank were on a second host; NCCL, which may have found its hosts already, need not believe it.
    if (GetParam() == AllReduceChoice::kHierarchical) ::setenv("NCCL_HOSTID", world().rank() % 2 == 0 ? "even" : "odd", 1);
    try {
      comm_ = make_communicator(world(), *backend_, GetParam(), kMaxBytes, kMaxBytes);
    } catch (const Error& e) {
      const std::string what = e.what();
      if (what.find("2.30.7") == std::string::npos && what.find("the same number of ranks") == std::string::npos) throw;
      GTEST_SKIP() << what;
    }
    if (GetParam() == AllReduceChoice::kHierarchical && world().size() >= 4) {
      ASSERT_NE(comm_->description().find("hierarchical"), std::string::npos) << comm_->description();
    }
  }
  void TearDown() override {
    ::unsetenv("NCCL_HOSTID");
    WorldFixture::TearDown();
  }

  // One all_reduce that is `shift` elements past an aligned address; the neighbours must stay as they are.
  void reduce_and_check(DType t, int64_t count, int64_t shift, uint32_t seed) {
    std::vector<std::byte> host(static_cast<size_t>(count + shift + 16) * size_of(t), std::byte{0xa5});
    const size_t offset = static_cast<size_t>(shift) * size_of(t);
    for (int64_t i = 0; i < count; ++i) put(host.data() + offset, t, i, small_integer(i, world().rank(), seed));
    const Buffer device(*backend_, host.size(), "test");
    backend_->copy_to_device(device.data(), host.data(), host.size());
    comm_->all_reduce({device.as<std::byte>() + offset, t, 1, count});
    backend_->copy_to_host(host.data(), device.data(), host.size());
    backend_->synchronize();
    ASSERT_EQ(first_wrong_sum(host.data() + offset, t, count, world().size(), seed), -1)
        << name_of(t) << ", " << count << " elements, shift " << shift;
    for (size_t i = 0; i < offset; ++i) ASSERT_EQ(host[i], std::byte{0xa5}) << "written before the start";
    for (size_t i = offset + static_cast<size_t>(count) * size_of(t); i < host.size(); ++i) {
      ASSERT_EQ(host[i], std::byte{0xa5}) << "written past the end";
    }
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> comm_;
};

TEST_P(DeviceCommunicatorTest, SumsAreExactForAllSizesAndTypes) {
  uint32_t seed = 0;
  for (const DType t : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const int64_t count : {1, 2, 7, 8, 9, 127, 2048, 4097, 65'537, 400'003, 3'000'001}) {
      for (const int64_t shift : {0, 1}) {
        reduce_and_check(t, count, shift, ++seed);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(DeviceCommunicatorTest, MixedSizesWithRandomDelays) {
  std::mt19937 shared(99), own(static_cast<unsigned>(world().rank()));
  const int64_t sizes[] = {1, 64, 2048, 20'000, 70'000, 150'000};
  for (uint32_t round = 0; round < 100; ++round) {
    if (own() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(own() % 1500));
    const auto t = static_cast<DType>(shared() % 3);
    reduce_and_check(t, sizes[shared() % std::size(sizes)], 0, round);
    if (HasFatalFailure()) return;
  }
}

// Calls that follow each other without the host waiting, as in a forward pass.
TEST_P(DeviceCommunicatorTest, ManyCallsInFlight) {
  constexpr int kCalls = 200;
  constexpr int64_t kCount = 3000;
  std::vector<float> host(kCalls * kCount);
  for (int c = 0; c < kCalls; ++c) {
    for (int64_t i = 0; i < kCount; ++i)
      host[static_cast<size_t>(c * kCount + i)] = small_integer(i, world().rank(), static_cast<uint32_t>(c));
  }
  const Buffer device(*backend_, host.size() * 4, "test");
  backend_->copy_to_device(device.data(), host.data(), host.size() * 4);
  for (int c = 0; c < kCalls; ++c) comm_->all_reduce({device.as<float>() + c * kCount, DType::kFloat32, 1, kCount});
  backend_->copy_to_host(host.data(), device.data(), host.size() * 4);
  backend_->synchronize();
  for (int c = 0; c < kCalls; ++c) {
    ASSERT_EQ(first_wrong_sum(host.data() + c * kCount, DType::kFloat32, kCount, world().size(), static_cast<uint32_t>(c)), -1)
        << "call " << c;
  }
}

TEST_P(DeviceCommunicatorTest, GathersAnySize) {
  for (const size_t bytes : {1u, 8u, 13u, 16u, 4096u, 99'999u, 1'000'000u, 9'000'016u}) {
    const auto byte_of = [&](size_t r, size_t i) { return static_cast<std::byte>(i * 13 + r * 101 + bytes); };
    const auto ranks = static_cast<size_t>(world().size());
    std::vector<std::byte> mine(bytes), all(bytes * ranks + 16, std::byte{0xa5});
    for (size_t i = 0; i < bytes; ++i) mine[i] = byte_of(static_cast<size_t>(world().rank()), i);
    const Buffer send(*backend_, bytes, "test"), recv(*backend_, all.size(), "test");
    backend_->copy_to_device(send.data(), mine.data(), bytes);
    backend_->copy_to_device(recv.data(), all.data(), all.size());
    comm_->all_gather(recv.data(), send.data(), bytes);
    backend_->copy_to_host(all.data(), recv.data(), all.size());
    backend_->synchronize();
    for (size_t r = 0; r < ranks; ++r) {
      for (size_t i = 0; i < bytes; ++i)
        ASSERT_EQ(all[r * bytes + i], byte_of(r, i)) << "rank " << r << ", byte " << i << " of " << bytes;
    }
    for (size_t i = all.size() - 16; i < all.size(); ++i) ASSERT_EQ(all[i], std::byte{0xa5}) << "written past the end";
  }
}

// A rank that is done with a gather goes on while others still read what it gave; large sums of memory that is not the
// communicator's come right behind it.
TEST_P(DeviceCommunicatorTest, SumsRightBehindGathers) {
  constexpr int kRounds = 20;
  constexpr int64_t kCount = 700'001;  // past what goes in one hop
  const auto ranks = static_cast<int64_t>(world().size());
  std::vector<float> host(kCount), all(static_cast<size_t>(ranks * kCount));
  std::vector<Buffer> sums, gathered;
  for (uint32_t round = 0; round < kRounds; ++round) {
    for (int64_t i = 0; i < kCount; ++i) host[static_cast<size_t>(i)] = small_integer(i, world().rank(), round);
    sums.emplace_back(*backend_, kCount * sizeof(float), "test");
    gathered.emplace_back(*backend_, all.size() * sizeof(float), "test");
    backend_->copy_to_device(sums.back().data(), host.data(), sums.back().bytes());
    backend_->synchronize();
  }
  for (size_t round = 0; round < kRounds; ++round) {
    comm_->all_gather(gathered[round].data(), sums[round].data(), sums[round].bytes());
    comm_->all_reduce({sums[round].data(), DType::kFloat32, 1, kCount});
  }
  for (uint32_t round = 0; round < kRounds; ++round) {
    backend_->copy_to_host(host.data(), sums[round].data(), sums[round].bytes());
    backend_->copy_to_host(all.data(), gathered[round].data(), gathered[round].bytes());
    backend_->synchronize();
    ASSERT_EQ(first_wrong_sum(host.data(), DType::kFloat32, kCount, world().size(), round), -1) << "round " << round;
    for (int64_t i = 0; i < ranks * kCount; ++i) {
      ASSERT_EQ(all[static_cast<size_t>(i)], small_integer(i % kCount, static_cast<int>(i / kCount), round))
          << "round " << round << ", element " << i;
    }
  }
}

// out = rms_norm(residual + sum + bias) * weight, whole on every rank and the same bits, twice in a row (the second builds on the
// residual of the first), with memory of the communicator and with other memory.
class AddNormCase {
 public:
  AddNormCase(Backend& backend, Communicator& comm, DType t, int64_t rows, int64_t cols, bool with_bias, bool own_memory)
      : backend_(backend), comm_(comm), t_(t), rows_(rows), cols_(cols), with_bias_(with_bias) {
    const size_t bytes = static_cast<size_t>(rows * cols) * size_of(t), padded = (bytes + 255) / 256 * 256;
    other_ = Buffer(backend, 2 * padded, "test");
    auto* const base = own_memory ? static_cast<std::byte*>(comm.allocate(backend, 2 * padded, "test")) : other_.as<std::byte>();
    x_ = TensorView(base, t, rows, cols);
    out_ = TensorView(base + padded, t, rows, cols);
    floats_ = Buffer(backend, static_cast<size_t>((rows + 2) * cols) * 4, "test");
    residual_ = TensorView(floats_.data(), DType::kFloat32, rows, cols);
    bias_ = TensorView(floats_.as<float>() + rows * cols, DType::kFloat32, 1, cols);
    weight_ = TensorView(floats_.as<float>() + (rows + 1) * cols, DType::kFloat32, 1, cols);
  }

  // The result of the second call, as stored.
  std::vector<std::byte> run() {
    std::vector<float> floats(static_cast<size_t>((rows_ + 2) * cols_));
    for (size_t i = 0; i < floats.size(); ++i) floats[i] = initial(static_cast<int64_t>(i));
    backend_.copy_to_device(floats_.data(), floats.data(), floats_.bytes());
    std::vector<std::byte> host(x_.bytes());
    for (uint32_t call = 0; call < 2; ++call) {
      for (int64_t i = 0; i < rows_ * cols_; ++i) put(host.data(), t_, i, small_integer(i, comm_.rank(), call));
      backend_.copy_to_device(x_.data, host.data(), host.size());
      backend_.synchronize();
      comm_.all_reduce_add_norm(backend_.ops(), x_, {out_, residual_, with_bias_ ? bias_ : TensorView{}, weight_, 1e-5f});
    }
    backend_.copy_to_host(host.data(), out_.data, host.size());
    backend_.synchronize();
    return host;
  }
  double expected(int64_t row, int64_t col) const {
    double squares = 0.0;
    for (int64_t c = 0; c < cols_; ++c) squares += std::pow(total(row, c), 2);
    return total(row, col) / std::sqrt(squares / static_cast<double>(cols_) + 1e-5) * initial((rows_ + 1) * cols_ + col);
  }

 private:
  float initial(int64_t i) const { return static_cast<float>((i * 37) % 101) / 64.0f - 0.75f; }
  double total(int64_t row, int64_t col) const {
    const int64_t i = row * cols_ + col;
    double sum = initial(i) + (with_bias_ ? 2.0 * initial(rows_ * cols_ + col) : 0.0);
    for (uint32_t call = 0; call < 2; ++call) {
      for (int r = 0; r < comm_.size(); ++r) sum += small_integer(i, r, call);
    }
    return sum;
  }

  Backend& backend_;
  Communicator& comm_;
  DType t_;
  int64_t rows_, cols_;
  bool with_bias_;
  Buffer other_, floats_;
  TensorView x_, out_, residual_, bias_, weight_;
};

TEST_P(DeviceCommunicatorTest, SumsAndNorms) {
  const std::pair<int64_t, int64_t> shapes[] = {{1, 64}, {2, 3584}, {37, 896}, {300, 1024}, {5, 8200}, {3, 10}, {700, 2560}};
  for (const DType t : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const auto& [rows, cols] : shapes) {
      for (const bool own_memory : {false, true}) {
        const bool with_bias = rows % 2 == 1;
        AddNormCase c(*backend_, *comm_, t, rows, cols, with_bias, own_memory);
        const CommCounters before = comm_->counters();
        const std::vector<std::byte> out = c.run();
        ASSERT_EQ((comm_->counters() - before).all_reduce_calls, 2);
        const double tolerance = t == DType::kFloat32 ? 1e-5 : t == DType::kFloat16 ? 1.0 / 1024 : 1.0 / 128;
        for (const int64_t row : {int64_t{0}, rows / 2, rows - 1}) {
          for (int64_t col = 0; col < cols; col += 7) {
            const double value = value_of(out.data(), t, row * cols + col), expected = c.expected(row, col);
            ASSERT_LE(std::abs(value - expected), tolerance * std::abs(expected) + 1e-5)
                << name_of(t) << " [" << rows << ", " << cols << "], row " << row << ", column " << col;
          }
        }
        const auto all = world().all_gather({reinterpret_cast<const char*>(out.data()), out.size()}, "results");
        for (const std::string& theirs : all) ASSERT_EQ(theirs, all[0]) << "the bits differ between ranks";
      }
    }
  }
}

// Whatever the order of a sum is: it is one for all ranks, and for every run.
TEST_P(DeviceCommunicatorTest, TheBitsOfASumAreTheSameEverywhereAndAgain) {
  constexpr int64_t kCounts[] = {1, 7, 1000, 4097, 32'768, 100'003, 600'001};
  auto* const own = static_cast<std::byte*>(comm_->allocate(*backend_, kMaxBytes, "test"));
  const Buffer other(*backend_, kMaxBytes, "test");
  std::mt19937 random(static_cast<unsigned>(7 + world().rank()));
  std::normal_distribution<float> normal;
  for (int way = -1; way < static_cast<int>(comm_->algorithms().size()); ++way) {
    comm_->use_algorithm(way);
    for (const DType t : {DType::kFloat32, DType::kBFloat16}) {
      for (const int64_t count : kCounts) {
        std::vector<std::byte> mine(static_cast<size_t>(count) * size_of(t)), first;
        for (int64_t i = 0; i < count; ++i) put(mine.data(), t, i, normal(random));
        for (void* const memory : {static_cast<void*>(own), other.data(), static_cast<void*>(own), other.data()}) {
          std::vector<std::byte> sum = mine;
          backend_->copy_to_device(memory, mine.data(), mine.size());
          backend_->synchronize();
          comm_->all_reduce({memory, t, 1, count});
          backend_->copy_to_host(sum.data(), memory, sum.size());
          backend_->synchronize();
          const auto all = world().all_gather({reinterpret_cast<const char*>(sum.data()), sum.size()}, "sums");
          for (const std::string& theirs : all) ASSERT_EQ(theirs, all[0]) << name_of(t) << ", " << count << ", way " << way;
          // Memory of the communicator's may have a faster way, with an order of its own.
          if (memory == other.data()) continue;
          if (first.empty()) first = sum;
          ASSERT_EQ(sum, first) << name_of(t) << ", " << count << ", way " << way << ": another run, other bits";
        }
      }
    }
  }
  comm_->use_algorithm(-1);
}

// Each way by itself, on memory of its own, at the sizes where the ways change.
TEST_P(DeviceCommunicatorTest, EveryAlgorithmIsExact) {
  auto* const memory = static_cast<std::byte*>(comm_->allocate(*backend_, kMaxBytes, "test"));
  for (int algorithm = 0; algorithm < static_cast<int>(comm_->algorithms().size()); ++algorithm) {
    comm_->use_algorithm(algorithm);
    for (const DType t : {DType::kFloat32, DType::kBFloat16}) {
      for (const int64_t count : {1, 3, 8, 9, 1023, 65'536, 65'537, 131'072, 131'073, 524'288, 524'289, 1'048'577, 2'000'001}) {
        const auto bytes = static_cast<size_t>(count) * size_of(t);
        if (bytes + 16 > kMaxBytes) continue;
        std::vector<std::byte> host(bytes + 16, std::byte{0xa5});
        for (int64_t i = 0; i < count; ++i) put(host.data(), t, i, small_integer(i, world().rank(), 77));
        backend_->copy_to_device(memory, host.data(), host.size());
        backend_->synchronize();
        world().barrier("all have set their memory");  // the bytes past the end are in reach of the peers
        comm_->all_reduce({memory, t, 1, count});
        backend_->copy_to_host(host.data(), memory, host.size());
        backend_->synchronize();
        ASSERT_EQ(first_wrong_sum(host.data(), t, count, world().size(), 77), -1) << name_of(t) << ", " << count;
        for (size_t i = bytes; i < host.size(); ++i) ASSERT_EQ(host[i], std::byte{0xa5}) << "written past the end";
      }
    }
  }
  comm_->use_algorithm(-1);
}

INSTANTIATE_TEST_SUITE_P(Cuda, DeviceCommunicatorTest,
                         testing::Values(AllReduceChoice::kPeer, AllReduceChoice::kNccl, AllReduceChoice::kHierarchical),
                         [](const auto& info) {
                           return info.param == AllReduceChoice::kPeer   ? "Peer"
                                  : info.param == AllReduceChoice::kNccl ? "Nccl"
                                                                         : "Hierarchical";
                         });

}  // namespace
}  // namespace lockstep
