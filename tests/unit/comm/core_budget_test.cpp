#include "comm/core_budget.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

cpu_set_t cores(std::initializer_list<int> list) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int c : list) CPU_SET(c, &mask);
  return mask;
}

TEST(CoreBudget, EnoughCoresForAll) {
  EXPECT_FALSE(cores_are_scarce({cores({0}), cores({1})}, 0.0));
  EXPECT_FALSE(cores_are_scarce({cores({0, 1}), cores({0, 1})}, 0.0));
  EXPECT_FALSE(cores_are_scarce({cores({0, 1, 2, 3}), cores({0, 1, 2, 3}), cores({2})}, 0.0));
}

TEST(CoreBudget, TooManyRanksOnTheirCores) {
  EXPECT_TRUE(cores_are_scarce({cores({0, 1}), cores({0, 1}), cores({0, 1})}, 0.0));
  EXPECT_TRUE(cores_are_scarce({cores({0}), cores({0}), cores({0, 1, 2, 3})}, 0.0)) << "two ranks bound to one core";
  EXPECT_TRUE(cores_are_scarce({cores({0, 1}), cores({1, 2}), cores({0, 2}), cores({0, 1, 2})}, 0.0))
      << "four ranks on three cores";
}

TEST(CoreBudget, AQuotaCountsAsCores) {
  EXPECT_TRUE(cores_are_scarce({cores({0, 1, 2, 3}), cores({0, 1, 2, 3})}, 1.5));
  EXPECT_FALSE(cores_are_scarce({cores({0, 1, 2, 3}), cores({0, 1, 2, 3})}, 2.0));
}

TEST(CoreBudget, ReadsCgroupQuotas) {
  EXPECT_EQ(parse_cpu_max("max 100000"), 0.0);
  EXPECT_EQ(parse_cpu_max("150000 100000"), 1.5);
  EXPECT_EQ(parse_cpu_max("-1 100000"), 0.0) << "cgroup v1 without a limit";
  EXPECT_EQ(parse_cpu_max(""), 0.0);
  EXPECT_EQ(parse_cpu_max("100000"), 0.0);
}

}  // namespace
}  // namespace lockstep
