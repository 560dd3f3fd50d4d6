#include "kernels/nvml.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Nvml, AMissingLibraryIsNoError) {
  std::string why_not;
  EXPECT_EQ(Nvml::open(why_not, "liblockstep-no-such-library.so.1"), nullptr);
  EXPECT_NE(why_not.find("liblockstep-no-such-library"), std::string::npos) << why_not;
}

TEST(Nvml, ALibraryThatIsSomethingElseIsRefused) {
  std::string why_not;
  EXPECT_EQ(Nvml::open(why_not, "libc.so.6"), nullptr);
  EXPECT_NE(why_not.find("lacks a function"), std::string::npos) << why_not;
}

TEST(Nvml, TellsWhoUsesTheMemory) {
  std::string why_not;
  const auto nvml = Nvml::open(why_not, LOCKSTEP_FAKE_NVML);
  ASSERT_NE(nvml, nullptr) << why_not;
  EXPECT_EQ(nvml->driver_version(), "550.54.15");
  EXPECT_FALSE(nvml->memory_of("GPU-other"));
  const auto memory = nvml->memory_of("GPU-known");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, int64_t{80} << 30);
  EXPECT_EQ(memory->used_bytes, int64_t{50} << 30);
  ASSERT_EQ(memory->processes.size(), 100u);
  EXPECT_EQ(memory->processes[0].used_bytes, -1) << "the driver does not tell";
  EXPECT_EQ(memory->processes[1].name, "") << "not permitted";
  EXPECT_EQ(memory->processes[99].pid, 1099);
  EXPECT_EQ(memory->processes[99].name, "program 1099");
  EXPECT_EQ(memory->processes[99].used_bytes, 99);
}

}  // namespace
}  // namespace lockstep
