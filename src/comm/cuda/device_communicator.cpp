#include "comm/device_communicator.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/cuda/hierarchical_communicator.h"
#include "comm/cuda/nccl_communicator.h"
#include "comm/cuda/peer_communicator.h"
#include "comm/nodes.h"
#include "comm/transport_choice.h"
#include "kernels/cuda/launch.h"

namespace lockstep {
namespace {

// Time-sliced ranks on a shared GPU take milliseconds a step of the self-test; a minute means that nothing moves.
constexpr Seconds kSelfTestDeadline{60.0};

// The largest number of ranks that use one GPU.
int count_ranks_per_gpu(const World& world) {
  cudaDeviceProp properties{};
  agree(world, "device properties", [&] {
    int device = 0;
    cuda::check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    cuda::check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  });
  const std::string mine = world.host() + '/' + std::string(properties.uuid.bytes, sizeof(properties.uuid.bytes));
  std::map<std::string, int> users;
  int most = 0;
  for (const std::string& gpu : world.all_gather(mine, "exchange of GPU UUIDs")) most = std::max(most, ++users[gpu]);
  return most;
}

// Whether NVLink joins this rank's GPU with that of every other rank of its host: atomics work natively across it and not across
// PCIe. False where this process may not see the other's GPU.
bool sees_nvlink_to_all(const World& world, const std::vector<int>& node_of) {
  char mine[32] = {};
  int device = 0;
  agree(world, "device address", [&] {
    cuda::check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    cuda::check_cuda(cudaDeviceGetPCIBusId(mine, sizeof(mine), device), "cudaDeviceGetPCIBusId");
  });
  bool all = true;
  const std::vector<std::string> addresses = world.all_gather(mine, "exchange of GPU addresses");
  for (size_t r = 0; r < addresses.size(); ++r) {
    const std::string& theirs = addresses[r];
    if (node_of[r] != node_of[static_cast<size_t>(world.rank())] || theirs == mine) continue;
    int peer = 0, native = 0;
    all = all && cudaDeviceGetByPCIBusId(&peer, theirs.c_str()) == cudaSuccess &&
          cudaDeviceGetP2PAttribute(&native, cudaDevP2PAttrNativeAtomicSupported, device, peer) == cudaSuccess && native != 0;
  }
  cudaGetLastError();  // a GPU that is not to be seen is no error
  return all;
}

}  // namespace

std::unique_ptr<Communicator> make_device_communicator(const World& world, Backend& backend, AllReduceChoice choice,
                                                       size_t max_all_reduce_bytes, size_t max_all_gather_bytes) {
  TransportFacts facts;
  facts.choice = choice;
  facts.ranks = world.size();
  facts.max_peers = cuda::kMaxPeers;
  const std::vector<int> node_of = nodes_as_nccl_sees_them(world);
  facts.hosts = count_nodes(node_of);
  const int on_this_host = place_in_node(node_of, world.rank()).size;
  const bool equal = world.all_min(on_this_host, "ranks of a host") == world.all_max(on_this_host, "ranks of a host");
  facts.ranks_per_host = equal ? on_this_host : 0;
  facts.max_ranks_per_gpu = count_ranks_per_gpu(world);
  facts.nvlink = world.all_min(sees_nvlink_to_all(world, node_of), "NVLink") == 1;
  facts.nccl_version = static_cast<int>(world.all_min(nccl_version_number(), "the version of NCCL"));
  const TransportChoice decision = choose_transport(facts);
  std::string reason = decision.reason;

  const auto open = [&](Transport transport) -> std::unique_ptr<Communicator> {
    const size_t max_bytes = std::max(max_all_reduce_bytes, max_all_gather_bytes);
    const Seconds deadline = std::min(kSelfTestDeadline, world.timeout());
    if (transport == Transport::kHierarchical) {
      return std::make_unique<HierarchicalCommunicator>(world, backend, node_of, max_bytes, facts.max_ranks_per_gpu, deadline);
    }
    auto peer = std::make_unique<PeerCommunicator>(world, backend, max_bytes, facts.max_ranks_per_gpu);
    peer->self_test(deadline);
    return peer;
  };
  if (decision.transport != Transport::kNccl) {
    try {
      auto communicator = open(decision.transport);
      if (world.is_root()) spdlog::info("collectives: {} ({}; self-test passed)", communicator->description(), reason);
      return communicator;
    } catch (const Error& e) {
      check(decision.nccl_fallback, "peer memory does not work here: {}{}", e.what(),
            choice != AllReduceChoice::kAuto ? "; use --allreduce auto or nccl" : "; and NCCL does not: " + reason);
      if (world.is_root()) spdlog::warn("peer memory does not work here, NCCL takes over: {}", e.what());
      reason = "peer memory failed";
    }
  }
  auto nccl = std::make_unique<NcclCommunicator>(world, backend, facts.max_ranks_per_gpu, /*with_windows=*/facts.hosts == 1);
  if (world.is_root()) spdlog::info("collectives: {} ({})", nccl->description(), reason);
  return nccl;
}

std::string nccl_version() { return nccl_version_text(nccl_version_number()); }

}  // namespace lockstep
