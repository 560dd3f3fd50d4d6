#include "comm/cuda/hierarchical_communicator.h"

#include <fmt/format.h>

#include <initializer_list>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/nodes.h"

namespace lockstep {

HierarchicalCommunicator::HierarchicalCommunicator(const World& world, Backend& backend, const std::vector<int>& node_of,
                                                   size_t max_bytes, int max_ranks_per_gpu, Seconds self_test_deadline)
    : world_(world),
      node_world_(world.part(node_of[static_cast<size_t>(world.rank())])),
      across_world_(world.part(place_in_node(node_of, world.rank()).index)) {
  agree(world_, "peer memory within hosts", [&] {
    node_ = std::make_unique<PeerCommunicator>(*node_world_, backend, max_bytes, max_ranks_per_gpu);
    node_->self_test(self_test_deadline);
  });
  all_ = std::make_unique<NcclCommunicator>(world_, backend, max_ranks_per_gpu);
  across_ = std::make_unique<NcclCommunicator>(*across_world_, backend, max_ranks_per_gpu);
}

std::string HierarchicalCommunicator::description() const {
  return fmt::format("hierarchical (peer memory among the {} ranks of a host, {} of {} hosts)", node_->size(),
                     across_->description().substr(0, across_->description().find(',')), across_->size());
}

void* HierarchicalCommunicator::allocate(Backend& backend, size_t bytes, const std::string& what) {
  void* memory = nullptr;
  agree(world_, what.c_str(), [&] { memory = node_->allocate(backend, bytes, what); });
  return memory;
}

void HierarchicalCommunicator::do_all_reduce(TensorView x) {
  node_->where_peers_see(x, [this](TensorView seen) {
    node_->reduce_scatter(seen);
    across_->all_reduce(node_->x_part(seen));  // as many elements on every host; nothing where there are none
    node_->all_gather_parts(seen);
  });
}

std::optional<std::string> HierarchicalCommunicator::async_error() {
  for (Communicator* part : std::initializer_list<Communicator*>{node_.get(), across_.get(), all_.get()}) {
    if (auto error = part->async_error()) return error;
  }
  return {};
}

void HierarchicalCommunicator::abort() noexcept {
  node_->abort();  // first: NCCL's may wait for the device
  across_->abort();
  all_->abort();
}

}  // namespace lockstep
