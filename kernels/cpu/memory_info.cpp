#include "kernels/cpu/memory_info.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

namespace lockstep::cpu {
namespace {

// The number after `key` at the start of a line, as in /proc/meminfo and a cgroup's memory.stat.
std::optional<size_t> read_field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    size_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

// A file that holds one number; nothing for "max".
std::optional<size_t> read_number(const std::string& path) {
  std::ifstream file(path);
  size_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// The process's path in the memory hierarchy: controller "" is cgroup v2, "memory" is v1.
std::optional<std::string> cgroup_path(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // hierarchy:controllers:path
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::istringstream controllers(line.substr(first + 1, second - first - 1));
    std::string name;
    const bool unified = line.compare(0, 3, "0::") == 0;
    if (controller.empty() ? unified : false) return line.substr(second + 1);
    while (!controller.empty() && std::getline(controllers, name, ',')) {
      if (name == controller) return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

// Lowers `info` to the limits of the cgroup and of all above it. Reclaimable file pages do not count as used.
void apply_cgroup(MemoryInfo& info, const std::string& mount, std::string path, const std::string& limit_file,
                  const std::string& usage_file, const std::string& cache_key) {
  for (;;) {
    const std::string directory = mount + (path == "/" ? "" : path) + "/";
    const auto limit = read_number(directory + limit_file);
    const auto usage = read_number(directory + usage_file);
    if (limit && usage && *limit < info.total_bytes) {
      const size_t cache = std::min(read_field(directory + "memory.stat", cache_key).value_or(0), *usage);
      const size_t used = *usage - cache;
      info.total_bytes = *limit;
      info.free_bytes = std::min(info.free_bytes, *limit > used ? *limit - used : 0);
    }
    if (path.empty() || path == "/") return;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

MemoryInfo read_memory_info(const std::string& root) {
  MemoryInfo info;
  info.total_bytes = read_field(root + "proc/meminfo", "MemTotal:").value_or(0) * 1024;
  info.free_bytes = read_field(root + "proc/meminfo", "MemAvailable:").value_or(0) * 1024;
  if (const auto path = cgroup_path(root, "")) {
    apply_cgroup(info, root + "sys/fs/cgroup", *path, "memory.max", "memory.current", "inactive_file");
  }
  if (const auto path = cgroup_path(root, "memory")) {
    apply_cgroup(info, root + "sys/fs/cgroup/memory", *path, "memory.limit_in_bytes", "memory.usage_in_bytes",
                 "total_inactive_file");
  }
  return info;
}

}  // namespace lockstep::cpu
