#include "comm/parent_watch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace lockstep {
namespace {

TEST(ParentWatch, FindsThePortOfAUri) {
  EXPECT_EQ(port_of_uri("1045430272.0;tcp4://127.0.0.1:43803"), 43803);
  EXPECT_EQ(port_of_uri("x;tcp6://[fd00::2]:44239"), 44239);
  for (const char* uri : {"", "tcp4://", "tcp4://127.0.0.1:", "tcp4://127.0.0.1:99999", "usock:/tmp/x", "tcp4://h:12a"}) {
    EXPECT_FALSE(port_of_uri(uri)) << uri;
  }
}

TEST(ParentWatch, FindsAListenerInTheKernelsTable) {
  const std::string table =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:AB1B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
      "   1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0\n";
  EXPECT_TRUE(has_listener(table, 0xAB1B));
  EXPECT_FALSE(has_listener(table, 0x1F90)) << "a connection is no listener";
  EXPECT_FALSE(has_listener(table, 0xD2F0));
  EXPECT_FALSE(has_listener("", 80));
}

TEST(ParentWatch, FindsTheSegmentsOfMpi) {
  const std::string maps =
      "7f0000000000-7f0000400000 rw-s 00000000 00:1b 12 /dev/shm/vader_segment.vm.0.5f8b0001.0\n"
      "7f0000400000-7f0000800000 rw-s 00000000 00:1b 13 /dev/shm/vader_segment.vm.0.5f8b0001.1 (deleted)\n"
      "7f0000800000-7f0000c00000 rw-s 00000000 00:1b 14 /dev/shm/somebody-else\n"
      "7f0000c00000-7f0001000000 rw-s 00400000 00:1b 12 /dev/shm/vader_segment.vm.0.5f8b0001.0\n";
  EXPECT_EQ(mapped_segments(maps), std::set<std::string>{"/dev/shm/vader_segment.vm.0.5f8b0001.0"});
}

// The exit code of a process that makes a ParentWatch, and would live on for seconds.
int code_with(const std::optional<std::string>& uri) {
  const pid_t child = fork();
  if (child == 0) {
    const ParentWatch watch(uri);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ParentWatch, EndsWhereTheLauncherWasGoneBefore) {
  EXPECT_EQ(code_with({}), 0);
  EXPECT_EQ(code_with("0.0;tcp4://127.0.0.1:1"), 1) << "nobody listens on port 1";
  EXPECT_EQ(code_with("no uri"), 0) << "what is not known ends nobody";
}

}  // namespace
}  // namespace lockstep
