#include "base/process.h"

#include <elf.h>
#include <link.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.h"

namespace lockstep {
namespace {

// A PT_NOTE segment: entries of a header, a name and a description, each padded to 4 bytes.
std::string build_id_in(const char* note, size_t bytes) {
  const auto padded = [](size_t n) { return (n + 3) / 4 * 4; };
  while (bytes >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, note, sizeof(header));
    const size_t name_bytes = padded(header.n_namesz), description_bytes = padded(header.n_descsz);
    const size_t entry = sizeof(header) + name_bytes + description_bytes;
    if (entry > bytes) break;
    const char* const name = note + sizeof(header);
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 && std::memcmp(name, ELF_NOTE_GNU, 4) == 0) {
      std::string digits;
      for (size_t i = 0; i < header.n_descsz; ++i) {
        digits += fmt::format("{:02x}", static_cast<unsigned char>(name[name_bytes + i]));
      }
      return digits;
    }
    note += entry;
    bytes -= entry;
  }
  return {};
}

}  // namespace

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

std::string executable_build_id() {
  std::string id;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_NOTE) continue;
          const std::string found =
              build_id_in(reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr), segment.p_memsz);
          if (found.empty()) continue;
          *static_cast<std::string*>(to) = found;
          break;
        }
        return 1;  // the first object is the executable
      },
      &id);
  return id;
}

}  // namespace lockstep
