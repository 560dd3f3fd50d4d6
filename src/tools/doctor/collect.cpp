#include "tools/doctor/collect.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "base/env.h"
#include "base/error.h"
#include "comm/core_budget.h"
#include "comm/device_communicator.h"
#include "kernels/backend.h"
#include "kernels/cpu/memory_info.h"
#include "tools/doctor/nvml.h"
#include "tools/doctor/patience.h"
#include "tools/version.h"

namespace lockstep::doctor {
namespace {

// Variables that change how ranks start and talk.
const std::vector<std::string_view> kPrefixes = {"NCCL_", "CUDA_", "OMPI_MCA_", "PMIX_MCA_", "UCX_", "FI_", "LOCKSTEP_"};

std::string sha256_of(const std::filesystem::path& path) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::ifstream file(path, std::ios::binary);
  check(file.good() && context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1, "{}: cannot be read",
        path.string());
  std::vector<char> buffer(1 << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), file.gcount() > 0) {
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(file.gcount()));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  check(EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1, "{}: OpenSSL gives no SHA-256", path.string());
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

LaunchFacts collect_launch(const SystemFiles& files, const std::filesystem::path& binary) {
  LaunchFacts f;
  f.pid = getpid();
  f.boot_id = files.line("proc/sys/kernel/random/boot_id");
  const Env::Launcher launcher = Env::read().launcher;
  f.launcher = launcher.variable;
  f.launched_ranks = launcher.size.value_or(0);
  f.launched_rank = launcher.rank.value_or(0);
  for (const auto& [name, value] : Env::with_prefixes({"SLURM_NTASKS"})) {
    if (name == "SLURM_NTASKS") f.slurm_tasks = std::max(0, std::atoi(value.c_str()));
  }
  f.build = build_id();
  f.mpi_library = mpi_version();
  for (const auto& [name, value] : Env::with_prefixes(kPrefixes)) f.environment.push_back({name, value});
  f.binary_sha256 = sha256_of(binary);
  return f;
}

double gbit_of(const std::string& rate) { return std::strtod(rate.c_str(), nullptr); }  // "400 Gb/sec (4X NDR)"

// Whether a bridge's Access Control Services send requests between the devices below it up to the root (PCI Express Base
// Specification, "ACS Extended Capability"). Nothing where its extended configuration cannot be read.
std::optional<bool> redirects(const std::string& config) {
  constexpr size_t kExtended = 0x100, kWhole = 0x1000;
  constexpr unsigned kAcs = 0x000d, kRedirects = 0x4 | 0x8 | 0x10;  // request, completion, upstream forwarding
  if (config.size() < kWhole) return std::nullopt;
  const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(config[i])); };
  size_t at = kExtended;
  for (int i = 0; i < 64 && at >= kExtended && at + 8 <= kWhole; ++i) {
    const unsigned id = byte(at) | byte(at + 1) << 8;
    if (id == kAcs) return (byte(at + 6) & kRedirects) != 0;
    at = (byte(at + 2) >> 4 | byte(at + 3) << 4) & 0xffc;
  }
  return false;
}

// Runs one family of facts, which owns all that it touches.
template <typename T>
void ask(RankFacts& facts, T& into, const char* what, Seconds patience, std::function<T()> work) {
  std::string why;
  if (auto result = run_within<T>(patience, std::move(work), why)) {
    into = std::move(*result);
  } else {
    facts.unanswered.push_back({what, why});
  }
}

}  // namespace

CoreFacts collect_cores(const SystemFiles& files, const std::vector<int>& allowed) {
  CoreFacts f;
  f.model = files.field("proc/cpuinfo", "model name");
  f.allowed = allowed;
  f.online = static_cast<int>(parse_list(files.line("sys/devices/system/cpu/online")).size());
  if (f.online == 0) f.online = static_cast<int>(allowed.size());
  std::set<std::string> cores;
  for (const int core : allowed) {
    const std::string siblings = files.line(fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", core));
    cores.insert(siblings.empty() ? std::to_string(core) : siblings);
  }
  f.physical = static_cast<int>(cores.size());
  int nodes = 0;
  for (const std::string& name : files.list("sys/devices/system/node")) {
    if (!name.starts_with("node") || name.size() < 5 || name.find_first_not_of("0123456789", 4) != std::string::npos) continue;
    ++nodes;
    const std::vector<int> of_node = parse_list(files.line("sys/devices/system/node/" + name + "/cpulist"));
    const auto is_allowed = [&](int core) { return std::find(allowed.begin(), allowed.end(), core) != allowed.end(); };
    if (std::any_of(of_node.begin(), of_node.end(), is_allowed)) f.numa.push_back(std::atoi(name.c_str() + 4));
  }
  std::sort(f.numa.begin(), f.numa.end());
  f.numa_nodes = std::max(nodes, 1);
  f.memory_on = parse_list(files.field("proc/self/status", "Mems_allowed_list"));
  f.quota = parse_cpu_max(files.line("sys/fs/cgroup/cpu.max"));
  if (f.quota == 0.0) {
    f.quota =
        parse_cpu_max(files.line("sys/fs/cgroup/cpu/cpu.cfs_quota_us") + " " + files.line("sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  }
  f.load = std::strtod(files.line("proc/loadavg").c_str(), nullptr);
  return f;
}

LimitFacts collect_limits(const SystemFiles& files) {
  LimitFacts f;
  f.locked_memory = files.limit("Max locked memory");
  f.open_files = files.limit("Max open files");
  f.address_space = files.limit("Max address space");
  f.processes = files.limit("Max processes");
  struct statvfs shm {};
  f.has_shm = statvfs(files.path("dev/shm").c_str(), &shm) == 0;
  if (f.has_shm) {
    f.shm_total = static_cast<int64_t>(shm.f_blocks * shm.f_frsize);
    f.shm_free = static_cast<int64_t>(shm.f_bavail * shm.f_frsize);
  }
  return f;
}

MemoryFacts collect_memory(const SystemFiles& files) {
  MemoryFacts f;
  f.host_total = std::strtoll(files.field("proc/meminfo", "MemTotal").c_str(), nullptr, 10) * 1024;
  const MemoryInfo info = cpu::read_memory_info(files.path("").string());
  f.total = static_cast<int64_t>(info.total_bytes);
  f.free = static_cast<int64_t>(info.free_bytes);
  std::istringstream groups(files.text("proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    std::istringstream events(files.text("sys/fs/cgroup" + line.substr(3) + "/memory.events").value_or(""));
    std::string name;
    int64_t count = 0;
    while (events >> name >> count) {
      if (name == "oom_kill") f.oom_kills = count;
    }
  }
  return f;
}

NetworkFacts collect_network(const SystemFiles& files) {
  NetworkFacts f;
  for (const std::string& device : files.list("sys/class/infiniband")) {
    const std::string base = "sys/class/infiniband/" + device;
    for (const std::string& port : files.list(base + "/ports")) {
      InfinibandPort p;
      p.device = device;
      p.port = std::atoi(port.c_str());
      const std::string state = files.line(base + "/ports/" + port + "/state");  // "4: ACTIVE"
      p.state = state.substr(state.find(' ') == std::string::npos ? 0 : state.find(' ') + 1);
      p.layer = files.line(base + "/ports/" + port + "/link_layer");
      p.gbit = gbit_of(files.line(base + "/ports/" + port + "/rate"));
      p.numa = static_cast<int>(files.integer(base + "/device/numa_node").value_or(-1));
      f.ports.push_back(p);
    }
  }
  for (const std::string& name : files.list("sys/class/net")) {
    const std::string state = files.line("sys/class/net/" + name + "/operstate");
    if (name == "lo" || state != "up") continue;
    f.interfaces.push_back(
        {name, static_cast<double>(std::max<int64_t>(files.integer("sys/class/net/" + name + "/speed").value_or(0), 0)) / 1e3});
  }
  f.peer_memory_module = files.exists("sys/module/nvidia_peermem") || files.exists("sys/module/nv_peer_mem");
  int major = 0, minor = 0;
  const std::string release = files.line("proc/sys/kernel/osrelease");
  const bool recent = std::sscanf(release.c_str(), "%d.%d", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 12));
  f.dma_buf = recent && files.line("proc/driver/nvidia/version").find("Open Kernel Module") != std::string::npos;
  return f;
}

BusFacts collect_bus(const SystemFiles& files) {
  BusFacts f;
  const std::vector<std::string> groups = files.list("sys/kernel/iommu_groups");
  f.iommu_groups = static_cast<int>(groups.size());
  const std::string command_line = " " + files.line("proc/cmdline") + " ";
  f.iommu_passthrough =
      command_line.find(" iommu=pt ") != std::string::npos || command_line.find(" iommu.passthrough=1 ") != std::string::npos;
  if (!groups.empty()) {
    const auto is_identity = [&](const std::string& group) {
      return files.line("sys/kernel/iommu_groups/" + group + "/type") == "identity";
    };
    f.iommu_passthrough = f.iommu_passthrough || std::all_of(groups.begin(), groups.end(), is_identity);
  }
  for (const std::string& device : files.list("sys/bus/pci/devices")) {
    const std::string base = "sys/bus/pci/devices/" + device;
    if (!files.line(base + "/class").starts_with("0x0604")) continue;
    const std::optional<bool> redirect = redirects(files.text(base + "/config").value_or(""));
    if (!redirect) {
      ++f.unreadable_bridges;
    } else if (*redirect) {
      f.acs_bridges.push_back(device);
    }
  }
  return f;
}

DeviceFacts collect_devices(const SystemFiles& files, const std::string& nvml) {
  DeviceFacts f;
  f.has_driver = files.exists("proc/driver/nvidia/version");
  const CudaPlatform platform = probe_cuda();
  f.build_has_cuda = platform.built;
  f.cuda_runtime = platform.runtime_version;
  f.cuda_of_driver = platform.driver_version;
  f.why_no_gpu = platform.why_unavailable;
  if (platform.built) f.nccl = nccl_version();
  for (int i = 0; i < platform.device_count; ++i) f.visible.push_back(describe_cuda_device(i).uuid);
  f.peer_access = probe_peer_access();
  NvmlReport report = read_nvml(nvml);
  f.why_no_nvml = report.why_not;
  f.driver_version = report.driver_version;
  if (f.cuda_of_driver.empty()) f.cuda_of_driver = report.cuda_version;
  f.gpus = std::move(report.gpus);
  for (GpuFacts& gpu : f.gpus) {
    // NVML writes the domain with eight digits and capitals, sysfs with four.
    std::string bus = gpu.bus_id.size() > 4 ? gpu.bus_id.substr(4) : gpu.bus_id;
    std::transform(bus.begin(), bus.end(), bus.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    gpu.numa = static_cast<int>(files.integer("sys/bus/pci/devices/" + bus + "/numa_node").value_or(-1));
    gpu.near_cores = parse_list(files.line("sys/bus/pci/devices/" + bus + "/local_cpulist"));
  }
  return f;
}

RankFacts collect(const World& world, const std::string& arguments, const Sources& sources, Seconds patience) {
  RankFacts facts;
  const SystemFiles files(sources.root);
  const cpu_set_t mask = own_affinity();  // of this thread: others that are started here inherit it, but this one is the rank
  std::vector<int> allowed;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &mask)) allowed.push_back(core);
  }
  ask<LaunchFacts>(facts, facts.launch, "the program's file", patience,
                   [files, binary = sources.binary] { return collect_launch(files, binary); });
  facts.launch.rank = world.rank();
  facts.launch.local_rank = world.local_rank();
  facts.launch.local_size = world.local_size();
  facts.launch.host = world.host();
  facts.launch.arguments = arguments;
  ask<CoreFacts>(facts, facts.cores, "cores", patience, [files, allowed] { return collect_cores(files, allowed); });
  ask<LimitFacts>(facts, facts.limits, "limits and /dev/shm", patience, [files] { return collect_limits(files); });
  ask<MemoryFacts>(facts, facts.memory, "memory", patience, [files] { return collect_memory(files); });
  ask<NetworkFacts>(facts, facts.network, "network", patience, [files] { return collect_network(files); });
  ask<BusFacts>(facts, facts.bus, "IOMMU and PCI", patience, [files] { return collect_bus(files); });
  ask<DeviceFacts>(facts, facts.device, "GPUs", patience, [files, nvml = sources.nvml] { return collect_devices(files, nvml); });
  return facts;
}

}  // namespace lockstep::doctor
