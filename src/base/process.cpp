#include "base/process.h"

#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "base/error.h"

namespace lockstep {

double seconds_since_process_start() {
  // proc(5): field 22 is the start in clock ticks after boot. Field 2, the program's name in parentheses, may hold blanks.
  constexpr int kAfterName = 3;
  constexpr int kStartTime = 22;
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  check(name_end != std::string::npos, "/proc/self/stat cannot be read; is /proc mounted?");
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int i = kAfterName; i <= kStartTime; ++i) fields >> field;
  timespec now = {};
  check(clock_gettime(CLOCK_BOOTTIME, &now) == 0, "the time since boot cannot be read");
  const double started = std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - started;
}

}  // namespace lockstep
