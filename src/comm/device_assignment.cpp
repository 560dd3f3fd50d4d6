#include "comm/device_assignment.h"

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
  return assign_devices(ranks)[static_cast<size_t>(world.rank())];
}

}  // namespace lockstep
