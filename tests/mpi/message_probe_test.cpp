// Messages between all ranks, their times, and outcomes that differ.
#include "comm/message_probe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

class MessageProbeTest : public WorldFixture {};

TEST_F(MessageProbeTest, EveryRankReachesEveryOther) {
  for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(exchange_with_all(world()));
}

TEST_F(MessageProbeTest, ClocksOfOneHostAgree) {
  const auto timings = time_peers(world());
  ASSERT_EQ(timings.size(), world().is_root() ? static_cast<size_t>(world().size()) : 0u);
  for (size_t r = 1; r < timings.size(); ++r) {
    EXPECT_GT(timings[r].round_trip_s, 0.0);
    EXPECT_LE(std::abs(timings[r].clock_offset_s), timings[r].round_trip_s + 0.05);
  }
  const auto rates = measure_host_links(world());  // one host: there are none
  for (const double rate : rates) EXPECT_EQ(rate, 0.0);
}

TEST_F(MessageProbeTest, OutcomesAreSharedWithoutCollectives) {
  std::vector<std::string> outcomes;
  EXPECT_TRUE(share_outcome(world(), "", outcomes));
  const int last = world().size() - 1;
  EXPECT_FALSE(share_outcome(world(), world().rank() == last ? "broken" : "", outcomes));
  EXPECT_EQ(outcomes[static_cast<size_t>(last)], world().is_root() || world().rank() == last ? "broken" : "");
  EXPECT_TRUE(share_outcome(world(), "", outcomes));
}

TEST_F(MessageProbeTest, ARankThatComesLateIsNamed) {
  if (world().size() < 2) GTEST_SKIP() << "needs two ranks";
  world().set_timeout(Seconds(0.3));
  const int last = world().size() - 1;
  if (world().rank() == last) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  std::vector<std::string> outcomes;
  const bool well = share_outcome(world(), "", outcomes);
  if (world().is_root()) {
    EXPECT_FALSE(well);
    EXPECT_NE(outcomes[static_cast<size_t>(last)].find("does not answer"), std::string::npos);
  } else {
    EXPECT_FALSE(well);
  }
  // What came too late is still under way: it must not be taken for the next outcome. Ranks leave in step.
  world().set_timeout(Seconds(60.0));
  world().barrier("the end of a late outcome");
}

}  // namespace
}  // namespace lockstep
