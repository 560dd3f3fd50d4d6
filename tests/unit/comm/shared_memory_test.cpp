#include "comm/shared_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>

#include "base/error.h"
#include "comm/tick_board.h"

namespace lockstep {
namespace {

TEST(SharedMemory, ReachedSeesWhatWasWritten) {
  SharedMemory made = SharedMemory::create(8192);
  made.reserve(0, 8192);
  const SharedMemory other = SharedMemory::reach(made.address(), 8192);
  ASSERT_NE(other.data(), nullptr);
  EXPECT_NE(other.data(), made.data());
  EXPECT_EQ(other.data()[5000], std::byte{0});
  made.data()[5000] = std::byte{7};
  EXPECT_EQ(other.data()[5000], std::byte{7});
}

TEST(SharedMemory, HasNoNameUnlessOneIsAskedFor) {
  SharedMemory made = SharedMemory::create(4096);
  EXPECT_EQ(made.name(), "");
  made.make_name();
  const std::string name = made.name();
  const SharedMemory other = SharedMemory::open(name, 4096);
  made.data()[5] = std::byte{9};
  EXPECT_EQ(other.data()[5], std::byte{9});
  made.remove_name();
  EXPECT_FALSE(std::filesystem::exists(name));
  made.data()[6] = std::byte{8};
  EXPECT_EQ(other.data()[6], std::byte{8}) << "the memory outlives the name";
}

TEST(SharedMemory, TheNameGoesWithItsMaker) {
  std::string name;
  {
    SharedMemory made = SharedMemory::create(4096);
    made.make_name();
    name = made.name();
    EXPECT_TRUE(std::filesystem::exists(name));
  }
  EXPECT_FALSE(std::filesystem::exists(name));
}

TEST(SharedMemory, RefusesAnotherSizeAndWhatIsNotThere) {
  const SharedMemory made = SharedMemory::create(4096), second = SharedMemory::create(4096);
  const std::string address = made.address();
  EXPECT_THROW(SharedMemory::reach(address, 8192), Error);
  EXPECT_THROW(SharedMemory::open("/dev/shm/lockstep-test-does-not-exist", 4096), Error);
  const std::string file = address.substr(0, address.find('/')), other = second.address();
  const std::string path = other.substr(other.find('/'));
  EXPECT_EQ(SharedMemory::reach(file + path, 4096).data(), nullptr) << "another file, as behind a PID of another namespace";
  EXPECT_EQ(SharedMemory::reach(address + "0000", 4096).data(), nullptr);
  EXPECT_EQ(SharedMemory::reach("", 4096).data(), nullptr);
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
