// Device collectives, the same body for both transports; ranks may share one GPU. Instances carry "Cuda" in their name and skip
// themselves where there is no device.
#include <fmt/format.h>
#include <gtest/gtest.h>

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
    try {
      comm_ = make_communicator(world(), *backend_, GetParam(), kMaxBytes, kMaxBytes);
    } catch (const Error& e) {
      if (std::string(e.what()).find("2.30.7") == std::string::npos) throw;
      GTEST_SKIP() << e.what();
    }
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

INSTANTIATE_TEST_SUITE_P(Cuda, DeviceCommunicatorTest, testing::Values(AllReduceChoice::kPeer, AllReduceChoice::kNccl),
                         [](const auto& info) { return info.param == AllReduceChoice::kPeer ? "Peer" : "Nccl"; });

}  // namespace
}  // namespace lockstep
