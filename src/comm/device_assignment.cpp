#include "comm/device_assignment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <map>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "comm/communicator.h"

namespace lockstep {

std::vector<int> assign_devices(const std::vector<VisibleDevices>& ranks) {
  std::map<std::pair<std::string, std::string>, int> users;  // (host, UUID) -> ranks so far
  std::vector<int> assigned;
  for (const VisibleDevices& rank : ranks) {
    int best = -1;
    for (int i = 0; i < static_cast<int>(rank.uuids.size()); ++i) {
      const auto load = [&](int device) { return users[{rank.host, rank.uuids[static_cast<size_t>(device)]}]; };
      if (best < 0 || load(i) < load(best)) best = i;
    }
    if (best >= 0) ++users[{rank.host, rank.uuids[static_cast<size_t>(best)]}];
    assigned.push_back(best);
  }
  return assigned;
}

std::string describe_sharing(const std::vector<VisibleDevices>& ranks, const std::vector<int>& assigned) {
  std::map<std::pair<std::string, std::string>, std::vector<size_t>> users;
  for (size_t r = 0; r < ranks.size(); ++r) {
    if (assigned[r] >= 0) users[{ranks[r].host, ranks[r].uuids[static_cast<size_t>(assigned[r])]}].push_back(r);
  }
  std::vector<std::string> shared;
  for (const auto& [device, who] : users) {
    if (who.size() > 1) shared.push_back(fmt::format("{} of {}: ranks {}", device.second, device.first, fmt::join(who, ", ")));
  }
  return fmt::format("{}", fmt::join(shared, "; "));
}

int choose_cuda_device(const World& world) {
  // Lines: why there is no device (usually empty), then a UUID each.
  const CudaPlatform platform = probe_cuda();
  std::string mine = platform.why_unavailable;
  for (char& c : mine) c = c == '\n' ? ' ' : c;
  try {
    for (int i = 0; i < platform.device_count; ++i) mine += '\n' + describe_cuda_device(i).uuid;
  } catch (const std::exception& e) {
    mine = e.what();
  }
  const auto texts = world.all_gather(mine, "exchange of visible GPUs");

  std::vector<VisibleDevices> ranks(texts.size());
  for (size_t r = 0; r < texts.size(); ++r) {
    std::istringstream lines(texts[r]);
    std::string why, uuid;
    std::getline(lines, why);
    while (std::getline(lines, uuid)) ranks[r].uuids.push_back(uuid);
    ranks[r].host = world.host_of(static_cast<int>(r));
    check(!ranks[r].uuids.empty(),
          "{} sees no CUDA device{}; check the driver, CUDA_VISIBLE_DEVICES and the job's --gpus, or use --device cpu",
          world.name_of(static_cast<int>(r)), why.empty() ? "" : ": " + why);
  }
  const std::vector<int> assigned = assign_devices(ranks);
  const std::string sharing = describe_sharing(ranks, assigned);
  if (world.is_root() && !sharing.empty()) {
    spdlog::warn("several ranks share a GPU ({}): each gets a part of its speed and memory; start one rank per GPU for speed",
                 sharing);
  }
  return assigned[static_cast<size_t>(world.rank())];
}

}  // namespace lockstep
