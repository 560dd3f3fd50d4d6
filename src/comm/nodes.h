// Which ranks share a host.
#pragma once

#include <string>
#include <vector>

#include "comm/world.h"

namespace lockstep {

// Collective. By rank of `world`, the lowest rank that MPI finds on the same host and that passes the same `told`: whoever knows
// better than MPI, or only pretends, divides a host further.
std::vector<int> nodes_of_ranks(const World& world, const std::string& told = "");

// Collective. As NCCL sees it: ranks whose NCCL_HOSTID differs are on different hosts.
std::vector<int> nodes_as_nccl_sees_them(const World& world);

// Hosts among nodes_of_ranks().
int count_nodes(const std::vector<int>& node_of);

// This rank's place among the ranks of its host, in their order; of how many.
struct PlaceInNode {
  int index = 0;
  int size = 1;
};
PlaceInNode place_in_node(const std::vector<int>& node_of, int rank);

}  // namespace lockstep
