#include "comm/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/error.h"
#include "comm/tick_board.h"

namespace lockstep {
namespace {

bool exists(const std::string& name) {
  const int file = shm_open(name.c_str(), O_RDONLY, 0);
  if (file >= 0) close(file);
  return file >= 0;
}

TEST(SharedMemory, AttachSeesWhatWasWritten) {
  SharedMemory made = SharedMemory::create(8192);
  made.reserve(0, 8192);
  const SharedMemory other = SharedMemory::attach(made.name(), 8192);
  EXPECT_NE(other.data(), made.data());
  EXPECT_EQ(other.data()[5000], std::byte{0});
  made.data()[5000] = std::byte{7};
  EXPECT_EQ(other.data()[5000], std::byte{7});
  made.remove_name();
  EXPECT_FALSE(exists(made.name()));
  made.data()[5001] = std::byte{8};
  EXPECT_EQ(other.data()[5001], std::byte{8}) << "the memory outlives the name";
}

TEST(SharedMemory, TheNameGoesWithItsMaker) {
  std::string name;
  {
    const SharedMemory made = SharedMemory::create(4096);
    name = made.name();
    EXPECT_TRUE(exists(name));
  }
  EXPECT_FALSE(exists(name));
}

TEST(SharedMemory, RefusesAnotherSizeAndAMissingName) {
  const SharedMemory made = SharedMemory::create(4096);
  EXPECT_THROW(SharedMemory::attach(made.name(), 8192), Error);
  EXPECT_THROW(SharedMemory::attach("/lockstep-test-does-not-exist", 4096), Error);
}

TEST(SharedMemory, AFullFileSystemIsAnErrorWithSizes) {
  SharedMemory made = SharedMemory::create(size_t{1} << 44);  // sparse: 16 TiB of addresses
  try {
    made.reserve(0, size_t{1} << 44);
    FAIL() << "16 TiB of /dev/shm were granted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("16777216.0 MiB"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("are free in /dev/shm"), std::string::npos) << e.what();
  }
}

TEST(TickBoard, WaitsWakesTimesOutAndAborts) {
  alignas(128) std::byte memory[1024] = {};
  ASSERT_LE(TickBoard::bytes_needed(2), sizeof(memory));
  TickBoard mine(memory, 0), theirs(memory, 1);
  TickBoard::WaitPolicy impatient{0.0, 0.0, 0.05};
  EXPECT_EQ(mine.wait(1, 1, impatient), TickBoard::Outcome::kTimedOut);
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    theirs.publish();
  });
  EXPECT_EQ(mine.wait(1, 1, {0.0, 0.0, 10.0}), TickBoard::Outcome::kArrived);
  late.join();
  EXPECT_EQ(mine.wait(1, 1, impatient), TickBoard::Outcome::kArrived);
  EXPECT_EQ(mine.wait(1, 2, impatient), TickBoard::Outcome::kTimedOut);
  theirs.abort();
  EXPECT_EQ(mine.wait(1, 2, {0.0, 0.0, 10.0}), TickBoard::Outcome::kAborted);
}

}  // namespace
}  // namespace lockstep
