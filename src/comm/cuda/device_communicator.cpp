#include "comm/device_communicator.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/cuda/nccl_communicator.h"
#include "comm/cuda/peer_communicator.h"
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

// Whether NVLink joins this rank's GPU with that of every other rank: atomics work natively across it and not across PCIe. False
// where this process may not see the other's GPU.
bool sees_nvlink_to_all(const World& world) {
  char mine[32] = {};
  int device = 0;
  agree(world, "device address", [&] {
    cuda::check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    cuda::check_cuda(cudaDeviceGetPCIBusId(mine, sizeof(mine), device), "cudaDeviceGetPCIBusId");
  });
  bool all = true;
  for (const std::string& theirs : world.all_gather(mine, "exchange of GPU addresses")) {
    if (theirs == mine) continue;
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
  facts.one_host = world.all_min(world.local_size(), "ranks of a host") == world.size();
  facts.max_ranks_per_gpu = count_ranks_per_gpu(world);
  facts.nvlink = world.all_min(facts.one_host && sees_nvlink_to_all(world), "NVLink") == 1;
  facts.nccl_version = static_cast<int>(world.all_min(nccl_version_number(), "the version of NCCL"));
  const TransportChoice decision = choose_transport(facts);
  std::string reason = decision.reason;

  if (decision.peer) {
    try {
      auto peer = std::make_unique<PeerCommunicator>(world, backend, std::max(max_all_reduce_bytes, max_all_gather_bytes),
                                                     facts.max_ranks_per_gpu);
      peer->self_test(std::min(kSelfTestDeadline, world.timeout()));
      if (world.is_root()) spdlog::info("collectives: {} ({}; self-test passed)", peer->description(), reason);
      return peer;
    } catch (const Error& e) {
      check(decision.nccl_fallback, "peer memory does not work here: {}{}", e.what(),
            choice == AllReduceChoice::kPeer ? "; use --allreduce auto or nccl" : "; and NCCL does not: " + reason);
      if (world.is_root()) spdlog::warn("peer memory does not work here, NCCL takes over: {}", e.what());
      reason = "peer memory failed";
    }
  }
  auto nccl = std::make_unique<NcclCommunicator>(world, backend, facts.max_ranks_per_gpu);
  if (world.is_root()) spdlog::info("collectives: {} ({})", nccl->description(), reason);
  return nccl;
}

std::string nccl_version() { return nccl_version_text(nccl_version_number()); }

}  // namespace lockstep
