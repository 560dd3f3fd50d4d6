#include "engine/open_device.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "comm/communicator.h"
#include "comm/core_budget.h"
#include "comm/device_communicator.h"
#include "comm/host_communicator.h"
#include "comm/start_up_facts.h"
#include "kernels/nvml.h"

namespace lockstep {
namespace {

bool use_cuda(DeviceChoice device) {
  if (device == DeviceChoice::kCpu) return false;
  const CudaPlatform platform = probe_cuda();
  const bool available = platform.built && platform.device_count > 0;
  check(available || device != DeviceChoice::kCuda, "--device cuda: {}; use --device cpu or auto", platform.why_unavailable);
  return available;
}

// How many ranks of this host use the same GPU as this one, itself included.
int count_sharers(const World& world, int cuda_device) {
  const std::string mine = world.host() + '/' + describe_cuda_device(cuda_device).uuid;
  const std::vector<std::string> all = world.all_gather(mine, "GPU UUIDs");
  return static_cast<int>(std::count(all.begin(), all.end(), mine));
}

// What there is to say about the device and what the collectives need; before any rank has opened its GPU.
RankFacts device_facts(const World& world, const EngineOptions& options, bool cuda, int cuda_device) {
  RankFacts facts = own_facts(world);
  if (!cuda) {
    if (world.size() > 1) facts.shm_needed_bytes = HostCommunicator::max_shared_bytes_per_rank();
    return facts;
  }
  facts.uses_nccl = world.size() > 1 && options.allreduce != AllReduceChoice::kPeer;
  facts.cuda_driver = probe_cuda().driver_version;
  facts.nccl = nccl_version();
  const CudaDevice device = describe_cuda_device(cuda_device);
  facts.gpu = GpuFacts{device.uuid, device.name, static_cast<int64_t>(device.total_bytes), -1, {}};
  std::string why_not;
  if (const auto nvml = Nvml::open(why_not)) {
    if (const std::string driver = nvml->driver_version(); !driver.empty()) facts.cuda_driver += " (" + driver + ")";
    if (const auto memory = nvml->memory_of(device.uuid)) {
      facts.gpu->total_bytes = memory->total_bytes;
      facts.gpu->used_bytes = memory->used_bytes;
      for (const GpuProcess& p : memory->processes) facts.gpu->users.push_back({p.pid, p.name, p.used_bytes});
    }
  }
  return facts;
}

int choose_threads(const World& world, int requested) {
  if (requested > 0) return requested;
  const cpu_set_t mine = own_affinity();
  std::string mask(CPU_SETSIZE, '0');
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &mine)) mask[static_cast<size_t>(core)] = '1';
  }
  const std::string key = world.host() + '/';
  const std::vector<std::string> all = world.all_gather(key + mask, "CPU affinity");
  double share = 0.0;
  for (size_t core = 0; core < mask.size(); ++core) {
    if (mask[core] != '1') continue;
    int users = 0;
    for (const std::string& other : all) {
      users += other.compare(0, key.size(), key) == 0 && other[key.size() + core] == '1' ? 1 : 0;
    }
    share += 1.0 / std::max(users, 1);
  }
  const double quota = own_cpu_quota();
  if (quota > 0.0) share = std::min(share, quota / world.local_size());
  return std::max(1, static_cast<int>(share + 1e-6));
}

}  // namespace

OpenedDevice open_device(const World& world, const EngineOptions& options) {
  OpenedDevice opened;
  bool cuda = false;
  world.phase("choosing the device", [&] { cuda = use_cuda(options.device); });
  world.phase("comparing the ranks", [&] { world.require_same("the kind of device (--device)", cuda ? "cuda" : "cpu"); });
  const int index = cuda ? choose_cuda_device(world) : 0;
  if (cuda) opened.sharers = count_sharers(world, index);
  world.phase("checking the start-up", [&] { check_start_up(world, device_facts(world, options, cuda, index)); });
  const int threads = cuda ? 1 : choose_threads(world, options.threads);
  world.phase("opening the device", [&] {
    opened.backend = cuda ? make_cuda_backend(index, options.batch_invariant == Switch::kOn)
                          : make_cpu_backend(threads, Env::read().cpu_isa.value_or(""));
  });
  return opened;
}

}  // namespace lockstep
