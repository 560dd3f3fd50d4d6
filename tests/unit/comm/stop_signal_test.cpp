#include "comm/stop_signal.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lockstep {
namespace {

TEST(StopSignal, FirstSignalAsks) {
  for (const int number : {SIGINT, SIGTERM}) {
    const StopSignal stop;
    EXPECT_FALSE(stop.requested());
    EXPECT_EQ(stop.exit_code(), 0);
    raise(number);
    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(stop.exit_code(), 128 + number);
  }
}

TEST(StopSignal, SecondInterruptEnds) {
  EXPECT_EXIT(
      {
        const StopSignal stop;
        raise(SIGINT);
        raise(SIGINT);
      },
      testing::ExitedWithCode(130), "");
}

TEST(StopSignal, OnlyOne) {
  const StopSignal stop;
  EXPECT_THROW(StopSignal(), Error);
}

}  // namespace
}  // namespace lockstep
