// NodeExchange: collectives among the leaders of the hosts, over MPI.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/world.h"

namespace lockstep {

class NodeExchange {
 public:
  // Collective over `world`. node_of: by world rank; leader: whether this rank speaks for its host. Only leaders may call the
  // rest.
  NodeExchange(const World& world, const std::vector<int>& node_of, bool leader);
  ~NodeExchange();
  NodeExchange(const NodeExchange&) = delete;
  NodeExchange& operator=(const NodeExchange&) = delete;

  int size() const { return size_; }

  // What follows belongs to this collective (CollectivePosition::packed()) on every host; a host that is in another one is an
  // Error on all.
  void begin_collective(uint64_t position) { position_ = position; }

  // data[i] = sum over hosts of data[i], in the order of their leaders' ranks, the same bits on every host. Few elements are
  // exchanged whole; many in slices, each summed by one host (reduce-scatter, then all-gather).
  void sum(std::vector<float>& data);
  // Everybody's bytes, one host after the other in the order of their leaders; lengths: by host.
  std::vector<std::byte> all_gather(const std::vector<std::byte>& mine, const std::vector<size_t>& lengths);

 private:
  // places: one position a host, `stride` bytes apart.
  void check_places(const std::byte* places, size_t stride) const;

  const World& world_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int size_ = 0, index_ = 0;
  std::vector<int> leaders_;  // world ranks
  uint64_t position_ = 0;
  std::vector<float> sent_, received_;
};

}  // namespace lockstep
