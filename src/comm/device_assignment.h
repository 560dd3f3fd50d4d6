// Which rank uses which GPU, as a pure function of what the ranks see; see choose_cuda_device (communicator.h).
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// What one rank sees: its host, as any string that differs between hosts, and the UUIDs of its visible devices by ordinal.
struct VisibleDevices {
  std::string host;
  std::vector<std::string> uuids;
};

// By rank, the ordinal of its device among those it sees: on each host, in rank order, the device with the fewest ranks so far,
// the lowest ordinal among equals. Where all ranks see the same devices this is local rank modulo their number; where each sees
// its own, it is that one. -1 for a rank that sees none.
std::vector<int> assign_devices(const std::vector<VisibleDevices>& ranks);

}  // namespace lockstep
