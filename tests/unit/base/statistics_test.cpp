#include "base/statistics.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(StatisticsTest, Median) {
  EXPECT_EQ(median({}), 0.0);
  EXPECT_EQ(median({3.0}), 3.0);
  EXPECT_EQ(median({9.0, 1.0, 5.0}), 5.0);
  EXPECT_EQ(median({9.0, 1.0, 5.0, 3.0}), 4.0);
}

TEST(StatisticsTest, PercentileIsTheNearestRank) {
  EXPECT_EQ(percentile({}, 50), 0.0);
  EXPECT_EQ(percentile({7.0}, 99), 7.0);
  EXPECT_EQ(percentile({4.0, 2.0, 1.0, 3.0}, 25), 1.0);
  EXPECT_EQ(percentile({4.0, 2.0, 1.0, 3.0}, 26), 2.0);
  EXPECT_EQ(percentile({4.0, 2.0, 1.0, 3.0}, 100), 4.0);
}

}  // namespace
}  // namespace lockstep
