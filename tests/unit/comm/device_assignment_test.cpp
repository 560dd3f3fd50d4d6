#include "comm/device_assignment.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

const std::vector<std::string> kFour = {"GPU-a", "GPU-b", "GPU-c", "GPU-d"};

TEST(DeviceAssignment, LocalRankWhereAllSeeAll) {
  EXPECT_EQ(assign_devices({{"h", kFour}, {"h", kFour}, {"h", kFour}, {"h", kFour}}), (std::vector<int>{0, 1, 2, 3}));
}

TEST(DeviceAssignment, EachHostCountsForItself) {
  EXPECT_EQ(assign_devices({{"h", kFour}, {"h", kFour}, {"i", kFour}, {"i", kFour}}), (std::vector<int>{0, 1, 0, 1}));
  EXPECT_EQ(assign_devices({{"h", kFour}, {"i", kFour}, {"h", kFour}, {"i", kFour}}), (std::vector<int>{0, 0, 1, 1}))
      << "ranks dealt cyclically";
}

TEST(DeviceAssignment, OwnDeviceWhereEachSeesOne) {
  const std::vector<VisibleDevices> ranks = {{"h", {"GPU-b"}}, {"h", {"GPU-a"}}, {"h", {"GPU-c"}}};
  EXPECT_EQ(assign_devices(ranks), (std::vector<int>{0, 0, 0}));
}

TEST(DeviceAssignment, MoreRanksThanDevicesShare) {
  const std::vector<std::string> two = {"GPU-a", "GPU-b"};
  const std::vector<VisibleDevices> ranks = {{"h", two}, {"h", two}, {"h", two}, {"h", two}, {"h", two}};
  EXPECT_EQ(assign_devices(ranks), (std::vector<int>{0, 1, 0, 1, 0}));
}

TEST(DeviceAssignment, OverlappingViewsAreSpread) {
  EXPECT_EQ(assign_devices({{"h", {"GPU-a", "GPU-b"}}, {"h", {"GPU-a", "GPU-c"}}, {"h", {"GPU-c", "GPU-b"}}}),
            (std::vector<int>{0, 1, 1}));
}

TEST(DeviceAssignment, NothingVisible) { EXPECT_EQ(assign_devices({{"h", {}}, {"h", {"GPU-a"}}}), (std::vector<int>{-1, 0})); }

}  // namespace
}  // namespace lockstep
