// Host collectives on small integers, compared bit for bit, on one host and on pretended several.
#include "comm/host_communicator.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "base/error.h"
#include "mpi/small_integers.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

// How the ranks are dealt to hosts.
enum class Placement { kOneHost, kTwoHosts, kAlternating, kEachAlone };

class HostCommunicatorTest : public WorldFixture, public testing::WithParamInterface<Placement> {
 protected:
  std::unique_ptr<HostCommunicator> make(size_t max_bytes = size_t{4} << 20) {
    const int r = world().rank();
    switch (GetParam()) {
      case Placement::kOneHost: return std::make_unique<HostCommunicator>(world(), max_bytes);
      case Placement::kTwoHosts: return std::make_unique<HostCommunicator>(world(), max_bytes, r < 2 ? 7 : 3);
      case Placement::kAlternating: return std::make_unique<HostCommunicator>(world(), max_bytes, r % 2);
      case Placement::kEachAlone: return std::make_unique<HostCommunicator>(world(), max_bytes, r);
    }
    return nullptr;
  }

  // One all_reduce at an address that is `shift` elements past an aligned one; the neighbours must stay as they are.
  void reduce_and_check(Communicator& comm, DType t, int64_t count, int64_t shift, uint32_t seed) {
    std::vector<std::byte> memory(static_cast<size_t>(count + shift + 16) * size_of(t), std::byte{0xa5});
    std::byte* const x = memory.data() + static_cast<size_t>(shift) * size_of(t);
    for (int64_t i = 0; i < count; ++i) put(x, t, i, small_integer(i, world().rank(), seed));
    comm.all_reduce({x, t, 1, count});
    const int64_t wrong = first_wrong_sum(x, t, count, world().size(), seed);
    ASSERT_EQ(wrong, -1) << name_of(t) << ", " << count << " elements, shift " << shift;
    const std::byte* const end = x + static_cast<size_t>(count) * size_of(t);
    for (const std::byte* p = memory.data(); p < x; ++p) ASSERT_EQ(*p, std::byte{0xa5}) << "written before the start";
    for (const std::byte* p = end; p < memory.data() + memory.size(); ++p)
      ASSERT_EQ(*p, std::byte{0xa5}) << "written past the end";
  }
};

TEST_P(HostCommunicatorTest, SumsAreExactForAllSizesAndTypes) {
  const auto comm = make();
  uint32_t seed = 0;
  for (const DType t : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const int64_t count :
         {1, 2, 3, 5, 31, 32, 33, 64, 127, 1000, 2048, 4097, 16384, 16385, 65536, 65537, 131071, 400'003, 1'200'001}) {
      for (const int64_t shift : {0, 1, 3}) {
        reduce_and_check(*comm, t, count, shift, ++seed);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(HostCommunicatorTest, MixedSizesWithRandomDelays) {
  const auto comm = make(100'000);  // small slots: many chunks
  std::mt19937 shared(99);          // the same sizes on every rank
  std::mt19937 own(static_cast<unsigned>(world().rank()));
  const int64_t sizes[] = {1, 64, 2048, 20'000, 70'000, 150'000};
  for (uint32_t round = 0; round < 300; ++round) {
    const int64_t count = sizes[shared() % std::size(sizes)];
    const auto t = static_cast<DType>(shared() % 3);
    if (own() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(own() % 1500));
    reduce_and_check(*comm, t, count, 0, round);
    if (HasFatalFailure()) return;
    if (shared() % 5 == 0) {
      std::vector<uint32_t> all(static_cast<size_t>(world().size()), 0xffffffffu);
      const uint32_t mine = round * 100 + static_cast<uint32_t>(world().rank());
      comm->all_gather(all.data(), &mine, sizeof(mine));
      for (size_t r = 0; r < all.size(); ++r) ASSERT_EQ(all[r], round * 100 + r) << "round " << round;
    }
  }
}

TEST_P(HostCommunicatorTest, GathersAnySize) {
  const auto comm = make(100'000);
  for (const size_t bytes : {1u, 7u, 8u, 100u, 4096u, 99'999u, 300'001u, 1'000'000u}) {
    const auto byte_of = [&](size_t r, size_t i) { return static_cast<std::byte>(i * 13 + r * 101 + bytes); };
    std::vector<std::byte> mine(bytes), all(bytes * static_cast<size_t>(world().size()) + 8, std::byte{0xa5});
    for (size_t i = 0; i < bytes; ++i) mine[i] = byte_of(static_cast<size_t>(world().rank()), i);
    comm->all_gather(all.data(), mine.data(), bytes);
    for (size_t r = 0; r < static_cast<size_t>(world().size()); ++r) {
      for (size_t i = 0; i < bytes; ++i)
        ASSERT_EQ(all[r * bytes + i], byte_of(r, i)) << "rank " << r << ", byte " << i << " of " << bytes;
    }
    for (size_t i = all.size() - 8; i < all.size(); ++i) ASSERT_EQ(all[i], std::byte{0xa5}) << "written past the end";
  }
}

// Real numbers: rounding must not depend on the rank.
TEST_P(HostCommunicatorTest, AllRanksGetTheSameBits) {
  const auto comm = make();
  std::mt19937 random(5 + static_cast<unsigned>(world().rank()));
  std::normal_distribution<float> normal;
  for (const int64_t count : {1000, 100'000, 300'007}) {
    std::vector<float> x(static_cast<size_t>(count));
    for (float& v : x) v = normal(random) * 1e3f;
    comm->all_reduce({x.data(), DType::kFloat32, 1, count});
    const std::string mine(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
    for (const std::string& other : world().all_gather(mine, "test")) ASSERT_TRUE(other == mine) << count << " elements";
  }
}

TEST_P(HostCommunicatorTest, CountsCallsAndBytes) {
  const auto comm = make();
  std::vector<float> x(1000);
  for (int i = 0; i < 3; ++i) comm->all_reduce({x.data(), DType::kFloat32, 10, 100});
  comm->all_reduce({x.data(), DType::kFloat32, 0, 100});
  std::vector<std::byte> all(static_cast<size_t>(world().size()) * 24);
  comm->all_gather(all.data(), x.data(), 24);
  EXPECT_EQ(comm->counters().all_reduce_calls, 3);
  EXPECT_EQ(comm->counters().all_reduce_bytes, 12'000);
  EXPECT_EQ(comm->counters().all_gather_calls, 1);
  EXPECT_EQ(comm->counters().all_gather_bytes, 24);
  EXPECT_EQ(comm->last_collective(), "last collective completed: step 0, all_gather 1 of the step, 24 bytes");
  EXPECT_THROW(comm->all_reduce({x.data(), DType::kFloat32, 10, 50, 100}), Error) << "not contiguous";
  EXPECT_THROW(comm->all_reduce({x.data(), DType::kInt32, 1, 100}), Error);
}

std::string name_of_placement(const testing::TestParamInfo<Placement>& info) {
  constexpr const char* kNames[] = {"OneHost", "TwoHosts", "Alternating", "EachAlone"};
  return kNames[static_cast<size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Placements, HostCommunicatorTest,
                         testing::Values(Placement::kOneHost, Placement::kTwoHosts, Placement::kAlternating,
                                         Placement::kEachAlone),
                         name_of_placement);

using HostDeadline = WorldFixture;

TEST_F(HostDeadline, NamesTheMissingRank) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  HostCommunicator comm(world(), 4096);
  const int missing = world().size() - 1;
  if (world().rank() != missing) {
    world().set_timeout(Seconds(0.3));
    float x = 1.0f;
    try {
      comm.all_reduce({&x, DType::kFloat32, 1, 1});
      ADD_FAILURE() << "the sum did not wait for rank " << missing;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(fmt::format("for rank {} on {}", missing, world().host())), std::string::npos)
          << e.what();
    }
    world().set_timeout(Seconds(60.0));
  }
  world().barrier("all have seen it");
}

TEST_F(HostDeadline, AbortEndsAWait) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  HostCommunicator comm(world(), 4096);
  if (world().rank() == 0) {
    comm.abort();
  } else {
    float x = 1.0f;
    EXPECT_THROW(comm.all_reduce({&x, DType::kFloat32, 1, 1}), Error);
  }
  world().barrier("all have seen it");
}

}  // namespace
}  // namespace lockstep
