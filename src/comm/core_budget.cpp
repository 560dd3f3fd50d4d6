#include "comm/core_budget.h"

#include <fstream>
#include <sstream>

namespace lockstep {
namespace {

bool is_subset(const cpu_set_t& inner, const cpu_set_t& outer) {
  cpu_set_t both;
  CPU_AND(&both, &inner, &outer);
  return CPU_EQUAL(&both, &inner);
}

std::string read_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

bool cores_are_scarce(const std::vector<cpu_set_t>& masks, double quota) {
  if (quota > 0.0 && quota < static_cast<double>(masks.size())) return true;
  // Ranks that may run nowhere else than on the cores of one mask must not outnumber these cores. Masks that merely overlap are
  // caught by the mask that is the union of all.
  std::vector<cpu_set_t> regions = masks;
  cpu_set_t all;
  CPU_ZERO(&all);
  for (const cpu_set_t& mask : masks) CPU_OR(&all, &all, &mask);
  regions.push_back(all);
  for (const cpu_set_t& region : regions) {
    int ranks = 0;
    for (const cpu_set_t& mask : masks) ranks += is_subset(mask, region) ? 1 : 0;
    if (ranks > CPU_COUNT(&region)) return true;
  }
  return false;
}

double parse_cpu_max(const std::string& text) {
  std::istringstream in(text);
  double quota = 0.0, period = 0.0;
  if (!(in >> quota >> period) || quota <= 0.0 || period <= 0.0) return 0.0;  // "max" is not a number
  return quota / period;
}

cpu_set_t own_affinity() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) CPU_SET(0, &mask);  // unknown: assume the worst
  return mask;
}

double own_cpu_quota() {
  if (const double quota = parse_cpu_max(read_line("/sys/fs/cgroup/cpu.max")); quota > 0.0) return quota;
  return parse_cpu_max(read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") + " " +
                       read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
}

}  // namespace lockstep
