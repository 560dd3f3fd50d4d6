// HostCommunicator: collectives of the CPU backend: shared memory inside a host, MPI between hosts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/node_exchange.h"
#include "comm/node_group.h"

namespace lockstep {

// Sums are made in float32. On one host they run in rank order; on several, each host sums its ranks in order, then the hosts'
// sums are added in order: always the same bits on every rank and in every run with the same placement.
class HostCommunicator : public Communicator {
 public:
  // Collective over `world`. max_all_reduce_bytes: larger calls work, too, but bound the memory: at most 0.75 MiB a rank.
  // node: ranks with the same number talk through shared memory; by default those that MPI finds on one host. Throws the same
  // Error on every rank if any of them cannot get its shared memory.
  HostCommunicator(const World& world, size_t max_all_reduce_bytes, std::optional<int> node = {});

  // What a rank takes of /dev/shm at most, in bytes.
  static int64_t max_shared_bytes_per_rank();

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string description() const override;
  void abort() noexcept override { group_.abort(); }

 protected:
  bool returns_when_done() const override { return true; }
  void do_all_reduce(TensorView x) override;
  void do_all_gather(void* recv, const void* send, size_t bytes) override;

 private:
  void begin_collective();
  void all_reduce_one_shot(void* x, DType dtype, int64_t count);
  void all_reduce_two_shot(void* x, DType dtype, int64_t count);
  void all_reduce_hosts(void* x, DType dtype, int64_t count);
  void all_gather_hosts(std::byte* recv, const std::byte* send, size_t bytes);
  // The leader's bytes to the other ranks of the host.
  void spread_from_leader(std::byte* data, size_t bytes, const char* what);

  const World& world_;
  std::vector<int> node_of_;  // nodes_of_ranks()
  NodeGroup group_;
  std::unique_ptr<NodeExchange> exchange_;  // null on one host
  std::vector<float> host_sum_;             // leader, several hosts: [count]
};

}  // namespace lockstep
