// Facts out of files and a management library that the test lays out.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>

#include "tools/doctor/collect.h"
#include "tools/doctor/nvml.h"
#include "tools/doctor/patience.h"
#include "unit/tools/doctor_job.h"

namespace lockstep::doctor {
namespace {

class DoctorCollectTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }
  SystemFiles files() const { return SystemFiles(root_); }

  std::filesystem::path root_;
};

TEST_F(DoctorCollectTest, NothingIsThere) {
  EXPECT_EQ(collect_limits(files()).locked_memory, kUnlimited);
  EXPECT_FALSE(collect_limits(files()).has_shm);
  EXPECT_TRUE(collect_network(files()).ports.empty());
  EXPECT_EQ(collect_bus(files()).iommu_groups, 0);
  EXPECT_EQ(collect_memory(files()).total, 0);
  EXPECT_EQ(collect_cores(files(), {3, 5}).online, 2);
  EXPECT_EQ(collect_cores(files(), {3, 5}).numa_nodes, 1);
}

TEST_F(DoctorCollectTest, Limits) {
  write("proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max locked memory         65536                unlimited            bytes     \n"
        "Max open files            128                  4096                 files     \n"
        "Max address space         unlimited            unlimited            bytes     \n");
  std::filesystem::create_directories(root_ / "dev/shm");
  const LimitFacts f = collect_limits(files());
  EXPECT_EQ(f.locked_memory, 65536);
  EXPECT_EQ(f.open_files, 128);
  EXPECT_EQ(f.address_space, kUnlimited);
  EXPECT_TRUE(f.has_shm);
  EXPECT_GT(f.shm_total, 0);
}

TEST_F(DoctorCollectTest, Cores) {
  write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some Processor @ 2 GHz\n");
  write("sys/devices/system/cpu/online", "0-7\n");
  for (int c = 0; c < 8; ++c) {
    write("sys/devices/system/cpu/cpu" + std::to_string(c) + "/topology/thread_siblings_list",
          std::to_string(c % 4) + "," + std::to_string(c % 4 + 4) + "\n");
  }
  write("sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
  write("sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
  write("proc/self/status", "Name:\tlockstep\nMems_allowed_list:\t0\n");
  write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  write("proc/loadavg", "3.25 2.00 1.00 1/200 4242\n");
  const CoreFacts f = collect_cores(files(), {2, 3, 6});
  EXPECT_EQ(f.model, "Some Processor @ 2 GHz");
  EXPECT_EQ(f.online, 8);
  EXPECT_EQ(f.physical, 2);
  EXPECT_EQ(f.numa, std::vector<int>{1});
  EXPECT_EQ(f.numa_nodes, 2);
  EXPECT_EQ(f.memory_on, std::vector<int>{0});
  EXPECT_EQ(f.quota, 1.5);
  EXPECT_EQ(f.load, 3.25);
}

TEST_F(DoctorCollectTest, MemoryOfACgroup) {
  write("proc/meminfo", "MemTotal:       1000000 kB\nMemAvailable:    900000 kB\n");
  write("proc/self/cgroup", "0::/job\n");
  write("sys/fs/cgroup/job/memory.max", "104857600\n");
  write("sys/fs/cgroup/job/memory.current", "4857600\n");
  write("sys/fs/cgroup/job/memory.stat", "inactive_file 0\n");
  write("sys/fs/cgroup/job/memory.events", "low 0\nhigh 0\nmax 10\noom 3\noom_kill 2\n");
  const MemoryFacts f = collect_memory(files());
  EXPECT_TRUE(f.limited());
  EXPECT_EQ(f.total, 104857600);
  EXPECT_EQ(f.free, 100000000);
  EXPECT_EQ(f.oom_kills, 2);
}

TEST_F(DoctorCollectTest, Network) {
  write("sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
  write("sys/class/infiniband/mlx5_0/ports/1/rate", "400 Gb/sec (4X NDR)\n");
  write("sys/class/infiniband/mlx5_0/ports/1/link_layer", "InfiniBand\n");
  write("sys/class/infiniband/mlx5_0/device/numa_node", "1\n");
  write("sys/class/infiniband/mlx5_1/ports/1/state", "1: DOWN\n");
  write("sys/class/infiniband/mlx5_1/ports/1/link_layer", "Ethernet\n");
  write("sys/class/net/eth0/operstate", "up\n");
  write("sys/class/net/eth0/speed", "25000\n");
  write("sys/class/net/eth1/operstate", "down\n");
  write("sys/class/net/lo/operstate", "up\n");
  write("sys/module/nvidia_peermem/refcnt", "0\n");
  const NetworkFacts f = collect_network(files());
  ASSERT_EQ(f.ports.size(), 2u);
  EXPECT_TRUE(f.ports[0].active());
  EXPECT_EQ(f.ports[0].gbit, 400.0);
  EXPECT_EQ(f.ports[0].numa, 1);
  EXPECT_FALSE(f.ports[1].active());
  ASSERT_EQ(f.interfaces.size(), 1u);
  EXPECT_EQ(f.interfaces[0].gbit, 25.0);
  EXPECT_TRUE(f.peer_memory_module);
  EXPECT_FALSE(f.dma_buf);
}

// Extended configuration with an ACS capability behind another one.
std::string bridge(unsigned control) {
  std::string config(4096, '\0');
  const auto put = [&](size_t at, unsigned value) {
    for (size_t i = 0; i < 4; ++i) config[at + i] = static_cast<char>(value >> (8 * i));
  };
  put(0x100, 0x0001 | 1u << 16 | 0x148u << 20);  // error reporting; the next one is at 0x148
  put(0x148, 0x000d | 1u << 16);
  put(0x14c, control << 16);
  return config;
}

TEST_F(DoctorCollectTest, Bus) {
  write("sys/bus/pci/devices/0000:00:01.0/class", "0x060400\n");
  write("sys/bus/pci/devices/0000:00:01.0/config", bridge(0x1d));
  write("sys/bus/pci/devices/0000:00:02.0/class", "0x060400\n");
  write("sys/bus/pci/devices/0000:00:02.0/config", bridge(0));
  write("sys/bus/pci/devices/0000:00:03.0/class", "0x060400\n");
  write("sys/bus/pci/devices/0000:00:03.0/config", std::string(64, 'x'));  // what a user may read
  write("sys/bus/pci/devices/0000:00:04.0/class", "0x030200\n");
  write("sys/kernel/iommu_groups/0/type", "DMA-FQ\n");
  write("sys/kernel/iommu_groups/1/type", "identity\n");
  write("proc/cmdline", "quiet\n");
  BusFacts f = collect_bus(files());
  EXPECT_EQ(f.acs_bridges, std::vector<std::string>{"0000:00:01.0"});
  EXPECT_EQ(f.unreadable_bridges, 1);
  EXPECT_EQ(f.iommu_groups, 2);
  EXPECT_FALSE(f.iommu_passthrough);
  write("proc/cmdline", "quiet iommu=pt\n");
  EXPECT_TRUE(collect_bus(files()).iommu_passthrough);
}

TEST_F(DoctorCollectTest, GpusOfAnotherManagementLibrary) {
  const NvmlReport none = read_nvml("libno-such-library.so");
  EXPECT_FALSE(none.why_not.empty());
  write("sys/bus/pci/devices/0000:0a:00.0/numa_node", "1\n");
  write("sys/bus/pci/devices/0000:0a:00.0/local_cpulist", "4-7\n");
  write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n");
  const DeviceFacts f = collect_devices(files(), LOCKSTEP_FAKE_GPUS);
  EXPECT_TRUE(f.has_driver);
  EXPECT_TRUE(f.why_no_nvml.empty()) << f.why_no_nvml;
  EXPECT_EQ(f.driver_version, "580.95.05");
  ASSERT_EQ(f.gpus.size(), 2u);
  const GpuFacts& ill = f.gpus[1];
  EXPECT_EQ(ill.uuid, "GPU-ill");
  EXPECT_EQ(ill.numa, 1);
  EXPECT_EQ(ill.near_cores, (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(ill.free, 20 * kTestGiB);
  ASSERT_EQ(ill.processes.size(), 1u);
  EXPECT_EQ(ill.processes[0].name, "another");
  EXPECT_EQ(ill.uncorrected_errors, 7);
  EXPECT_TRUE(ill.row_remap_pending);
  EXPECT_EQ(ill.slowdowns, (std::vector<std::string>{"thermal (hardware)", "power brake"}));
  EXPECT_TRUE(ill.power_capped);
  EXPECT_EQ(ill.pcie_width, 4);
  EXPECT_EQ(ill.max_pcie_width, 16);
  EXPECT_EQ(ill.nvlinks, 4);
  EXPECT_EQ(ill.active_nvlinks, 3);
  EXPECT_EQ(ill.compute_mode, "exclusive process");
  EXPECT_TRUE(ill.mig);
  EXPECT_TRUE(f.gpus[0].slowdowns.empty());
  EXPECT_EQ(f.gpus[0].uncorrected_errors, 0);
}

TEST(DoctorPatienceTest, GoesOnWithoutWhatHangs) {
  std::string why;
  EXPECT_EQ(run_within<int>(
                Seconds(5.0), [] { return 7; }, why),
            7);
  EXPECT_FALSE(run_within<int>(
                   Seconds(5.0), []() -> int { throw std::runtime_error("broken"); }, why)
                   .has_value());
  EXPECT_EQ(why, "broken");
  const auto release = std::make_shared<std::atomic<bool>>(false);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(run_within<int>(
                   Seconds(0.1),
                   [release] {
                     while (!*release) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                     return 1;
                   },
                   why)
                   .has_value());
  EXPECT_NE(why.find("no answer within 0.1 s"), std::string::npos);
  EXPECT_LT(Seconds(std::chrono::steady_clock::now() - start).count(), 4.0);
  *release = true;
}

}  // namespace
}  // namespace lockstep::doctor
