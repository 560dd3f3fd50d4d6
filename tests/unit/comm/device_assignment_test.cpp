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
  EXPECT_EQ(describe_sharing(ranks, assign_devices(ranks)), "");
}

TEST(DeviceAssignment, MoreRanksThanDevicesShare) {
  const std::vector<std::string> two = {"GPU-a", "GPU-b"};
  const std::vector<VisibleDevices> ranks = {{"h", two}, {"h", two}, {"h", two}, {"h", two}, {"h", two}};
  const auto assigned = assign_devices(ranks);
  EXPECT_EQ(assigned, (std::vector<int>{0, 1, 0, 1, 0}));
  EXPECT_EQ(describe_sharing(ranks, assigned), "GPU-a of h: ranks 0, 2, 4; GPU-b of h: ranks 1, 3");
}

TEST(DeviceAssignment, OverlappingViewsAreSpread) {
  EXPECT_EQ(assign_devices({{"h", {"GPU-a", "GPU-b"}}, {"h", {"GPU-a", "GPU-c"}}, {"h", {"GPU-c", "GPU-b"}}}),
            (std::vector<int>{0, 1, 1}));
}

TEST(DeviceAssignment, NothingVisible) { EXPECT_EQ(assign_devices({{"h", {}}, {"h", {"GPU-a"}}}), (std::vector<int>{-1, 0})); }

}  // namespace
}  // namespace lockstep
