#include "comm/nodes.h"

#include <algorithm>
#include <set>

#include "base/env.h"

namespace lockstep {

std::vector<int> nodes_of_ranks(const World& world, const std::string& told) {
  int lowest = 0;
  const int first = 0;
  MPI_Group local = MPI_GROUP_NULL, all = MPI_GROUP_NULL;
  MPI_Comm_group(world.local_comm(), &local);
  MPI_Comm_group(world.comm(), &all);
  MPI_Group_translate_ranks(local, 1, &first, all, &lowest);
  MPI_Group_free(&local);
  MPI_Group_free(&all);
  const auto names = world.all_gather(std::to_string(lowest) + '/' + told, "hosts of the ranks");
  std::vector<int> node_of;
  for (const std::string& name : names) {
    node_of.push_back(static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin()));
  }
  return node_of;
}

std::vector<int> nodes_as_nccl_sees_them(const World& world) {
  return nodes_of_ranks(world, Env::read().nccl_hostid.value_or(""));
}

int count_nodes(const std::vector<int>& node_of) {
  return static_cast<int>(std::set<int>(node_of.begin(), node_of.end()).size());
}

PlaceInNode place_in_node(const std::vector<int>& node_of, int rank) {
  const auto own = node_of.begin() + rank;
  return {static_cast<int>(std::count(node_of.begin(), own, *own)),
          static_cast<int>(std::count(node_of.begin(), node_of.end(), *own))};
}

}  // namespace lockstep
