#include "comm/world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "comm/nodes.h"
#include "comm/ping_pong.h"
#include "comm/rank_position.h"
#include "comm/watchdog.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

using WorldTest = WorldFixture;

void sleep_s(double s) { std::this_thread::sleep_for(Seconds(s)); }

TEST_F(WorldTest, KnowsItsRanks) {
  EXPECT_GE(world().rank(), 0);
  EXPECT_LT(world().rank(), world().size());
  EXPECT_EQ(world().local_size(), world().size()) << "these tests run on one host";
  EXPECT_EQ(world().local_rank(), world().rank());
  EXPECT_EQ(world().host_of(world().size() - 1), world().host());
}

TEST_F(WorldTest, BroadcastsAnySize) {
  for (const size_t size : {0u, 1u, 4087u, 4088u, 4089u, 4096u, 100'000u, 3'000'000u}) {
    std::vector<std::byte> bytes(world().is_root() ? size : 5, std::byte{0xee});
    if (world().is_root()) {
      for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + size);
    }
    world().broadcast(bytes, "test", /*idle=*/true);
    ASSERT_EQ(bytes.size(), size);
    for (size_t i = 0; i < size; ++i)
      ASSERT_EQ(bytes[i], static_cast<std::byte>(i * 31 + size)) << "byte " << i << " of " << size;
  }
  EXPECT_EQ(world().broadcast(world().is_root() ? "root's" : "mine", "test"), "root's");
}

TEST_F(WorldTest, GathersStringsOfAnyLength) {
  const std::string mine(static_cast<size_t>(world().rank()) * 1000, static_cast<char>('a' + world().rank()));
  const auto all = world().all_gather(mine, "test");
  ASSERT_EQ(all.size(), static_cast<size_t>(world().size()));
  for (int r = 0; r < world().size(); ++r) {
    EXPECT_EQ(all[static_cast<size_t>(r)], std::string(static_cast<size_t>(r) * 1000, static_cast<char>('a' + r)));
  }
}

TEST_F(WorldTest, MinimumAndMaximum) {
  EXPECT_EQ(world().all_min(100 - world().rank(), "test"), 101 - world().size());
  EXPECT_EQ(world().all_max((int64_t{1} << 40) + world().rank(), "test"), (int64_t{1} << 40) + world().size() - 1);
}

TEST_F(WorldTest, PhasePassesWhenAllPass) {
  int ran = 0;
  for (int i = 0; i < 50; ++i) world().phase("passes", [&] { ++ran; });
  EXPECT_EQ(ran, 50);
}

TEST_F(WorldTest, PhaseFailsEverywhereAndPrintsOnce) {
  for (int failing = 0; failing < world().size(); ++failing) {
    testing::internal::CaptureStderr();
    EXPECT_THROW(world().phase("load",
                               [&] {
                                 if (world().rank() >= failing) fail("tensor {} is broken", world().rank());
                               }),
                 PhaseFailed);
    const std::string printed = testing::internal::GetCapturedStderr();
    if (world().rank() == failing) {
      EXPECT_NE(printed.find(fmt::format("[rank {}/{} on {}] load: tensor {} is broken", failing, world().size(), world().host(),
                                         failing)),
                std::string::npos)
          << printed;
    } else {
      EXPECT_EQ(printed, "");
    }
  }
  world().phase("the next one works", [] {});
}

TEST_F(WorldTest, NestedPhaseFailsOnce) {
  testing::internal::CaptureStderr();
  EXPECT_THROW(world().phase("outer", [&] { world().phase("inner", [] { throw std::runtime_error("no"); }); }), PhaseFailed);
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(printed.find("outer"), std::string::npos) << printed;
  EXPECT_EQ(printed.empty(), !world().is_root()) << printed;
}

TEST_F(WorldTest, PhaseNamesWhoNeverArrives) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  const int late = world().size() - 1;
  world().set_timeout(Seconds(0.5));
  try {
    if (world().rank() == late) sleep_s(2.5);
    world().phase("load", [] {});
    FAIL() << "passed without rank " << late;
  } catch (const Error& e) {
    const std::string text = e.what();
    if (world().is_root()) {
      EXPECT_NE(text.find(fmt::format("load: rank {} on {} did not arrive", late, world().host())), std::string::npos) << text;
    }
  }
  world().set_timeout(Seconds(60.0));
  world().phase("the next one works", [] {});
}

TEST_F(WorldTest, FailedRankDoesNotWaitForOthersForLong) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  // Rank 0 is busy; the last rank has failed and must not wait for it to the deadline.
  const auto start = std::chrono::steady_clock::now();
  if (world().rank() == world().size() - 1) {
    EXPECT_THROW(world().phase("load", [] { throw std::runtime_error("out of memory"); }), std::runtime_error);
    EXPECT_LT(Seconds(std::chrono::steady_clock::now() - start).count(), 15.0);
  } else if (world().is_root()) {
    sleep_s(7.0);
    testing::internal::CaptureStderr();
    EXPECT_THROW(world().phase("load", [] {}), PhaseFailed);
    testing::internal::GetCapturedStderr();
  } else {
    EXPECT_THROW(world().phase("load", [] {}), PhaseFailed);
  }
}

TEST_F(WorldTest, RequireSameNamesTheOddRank) {
  world().require_same("the model", "abc");
  if (world().size() == 1) return;
  const int odd = world().size() - 1;
  try {
    world().require_same("the model", world().rank() == odd ? "xyz" : "abc");
    FAIL() << "different strings passed";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()),
              fmt::format("the ranks disagree about the model: rank 0 on {0} has 'abc', but rank {1} on {0} has 'xyz'",
                          world().host(), odd));
  }
}

TEST_F(WorldTest, WaitHasADeadline) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  if (world().rank() == world().size() - 1) {
    sleep_s(1.5);
    world().barrier("a late barrier");
    return;
  }
  world().set_timeout(Seconds(0.3));
  try {
    world().barrier("a late barrier");
    FAIL() << "the barrier did not wait";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("s for a late barrier"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find(fmt::format("rank {} on ", world().rank())), std::string::npos) << e.what();
  }
}

TEST_F(WorldTest, ADeadlineNamesTheRankThatDoesNotAnswer) {
  // All answer here: the threads that do so live while the main thread sleeps.
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  world().set_timeout(Seconds(0.2));
  world().set_status([r = world().rank()] {
    return RankStatus{RankPosition{r == 0 ? 3 : 8, 1}.packed(), fmt::format("step {}", r)};
  });
  if (world().is_root()) {
    sleep_s(2.5);
  } else {
    try {
      world().barrier("rank 0");
      ADD_FAILURE() << "the barrier did not wait";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(fmt::format("behind: rank 0 on {} (step 0)", world().host())), std::string::npos)
          << e.what();
    }
  }
  world().set_status({});
  world().set_timeout(Seconds(60.0));
  if (world().is_root()) world().barrier("rank 0");
}

TEST_F(WorldTest, ACacheLineTakesLongerThanNothing) {
  const double hop = measure_line_hop(world());
  if (world().size() == 1) {
    EXPECT_EQ(hop, 0.0);
  } else {
    EXPECT_GT(hop, 5e-9);
    EXPECT_LT(hop, 0.1);
  }
}

// Every other rank, as if on a second host.
TEST_F(WorldTest, PartsTalkAmongThemselves) {
  const std::vector<int> node_of = nodes_of_ranks(world(), world().rank() % 2 == 0 ? "even" : "odd");
  EXPECT_EQ(count_nodes(node_of), std::min(world().size(), 2));
  for (int r = 0; r < world().size(); ++r) EXPECT_EQ(node_of[static_cast<size_t>(r)], r % 2);
  const PlaceInNode place = place_in_node(node_of, world().rank());
  EXPECT_EQ(place.index, world().rank() / 2);
  EXPECT_EQ(place.size, (world().size() + 1 - world().rank() % 2) / 2);

  const auto part = world().part(node_of[static_cast<size_t>(world().rank())]);
  EXPECT_EQ(part->rank(), place.index);
  EXPECT_EQ(part->size(), place.size);
  EXPECT_EQ(part->name_of(part->rank()), world().name_of(world().rank()));
  EXPECT_EQ(part->timeout(), world().timeout());
  EXPECT_EQ(part->broadcast(std::to_string(world().rank()), "test"), std::to_string(world().rank() % 2));
  EXPECT_EQ(part->all_max(world().rank(), "test"), world().rank() % 2 + 2 * (place.size - 1));
  std::vector<std::string> expected;
  for (int r = world().rank() % 2; r < world().size(); r += 2) expected.push_back(std::to_string(r));
  EXPECT_EQ(part->all_gather(std::to_string(world().rank()), "test"), expected);
}

TEST_F(WorldTest, WatchdogBarksAtStandstillOnly) {
  std::mutex mutex;
  std::string message;
  const auto said = [&] {
    const std::lock_guard lock(mutex);
    return message;
  };
  Watchdog watchdog(world(), Seconds(1.0), [&](const std::string& m) {
    const std::lock_guard lock(mutex);
    message = m;
  });
  sleep_s(1.5);  // not armed
  watchdog.arm("step 1");
  for (int i = 2; i < 8; ++i) {
    sleep_s(0.25);
    watchdog.progress(fmt::format("step {}", i));
  }
  EXPECT_EQ(said(), "");
  sleep_s(2.0);
  EXPECT_NE(said().find("step 7 made no progress for"), std::string::npos) << said();
}

}  // namespace
}  // namespace lockstep
