// HierarchicalCommunicator: device collectives over several hosts: peer memory within each, NCCL across.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/cuda/nccl_communicator.h"
#include "comm/cuda/peer_communicator.h"

namespace lockstep {

// An AllReduce is a reduce-scatter within each host (rank i of a host sums part i), an AllReduce of each part over the hosts by
// NCCL (among the ranks i of all hosts, so that every GPU and every network card carries its share), and an all-gather within
// each host. The bits are the same on every rank of a host, since each part comes from one, and on every host as far as NCCL's
// sums are. Gathering is NCCL's alone.
class HierarchicalCommunicator : public Communicator {
 public:
  // Collective over `world`. node_of: nodes_of_ranks(), with equally many ranks in each, two or more. The others as for
  // PeerCommunicator. Throws the same Error on every rank if peer memory does not work on any host or fails its self-test, which
  // has until `self_test_deadline`.
  HierarchicalCommunicator(const World& world, Backend& backend, const std::vector<int>& node_of, size_t max_bytes,
                           int max_ranks_per_gpu, Seconds self_test_deadline);

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string description() const override;
  void* allocate(Backend& backend, size_t bytes, const std::string& what) override;
  std::optional<std::string> async_error() override;
  void abort() noexcept override;

 protected:
  void do_all_reduce(TensorView x) override;
  void do_all_gather(void* recv, const void* send, size_t bytes) override { all_->all_gather(recv, send, bytes); }

 private:
  const World& world_;
  std::unique_ptr<World> node_world_, across_world_;  // the ranks of this host; those of this rank's place on all hosts
  std::unique_ptr<PeerCommunicator> node_;
  std::unique_ptr<NcclCommunicator> across_, all_;
};

}  // namespace lockstep
