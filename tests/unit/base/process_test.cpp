#include "base/process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace lockstep {
namespace {

TEST(ProcessTest, TimeSinceTheStartGoesOnAsTheClockDoes) {
  const double before = seconds_since_process_start();
  EXPECT_GE(before, 0.0);
  EXPECT_LT(before, 3600.0);  // not the age of the machine
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const double passed = seconds_since_process_start() - before;
  EXPECT_GE(passed, 0.049);
  EXPECT_LT(passed, 10.0);
}

TEST(ProcessTest, KnowsItsBuildIdOrNone) {
  const std::string id = executable_build_id();
  EXPECT_EQ(id, executable_build_id());
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
  EXPECT_TRUE(id.empty() || id.size() >= 16) << id;
}

}  // namespace
}  // namespace lockstep
