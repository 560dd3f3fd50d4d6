#include "plan/hardware.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "unit/config/temp_dir.h"
#include "unit/plan/planning.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::hardware;

TEST(HardwareTest, EveryFileOfTheCatalogueReads) {
  int gpus = 0, links = 0;
  for (const auto& entry : fs::directory_iterator(testing::source_dir() / "configs/hardware")) {
    std::ifstream in(entry.path());
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    if (text.find("\nlink:") != std::string::npos) {
      const bool node = text.find("scope: node") != std::string::npos;
      const Link link = load_link(entry.path(), node ? LinkScope::kNode : LinkScope::kNetwork);
      EXPECT_GT(link.bandwidth, 1e9) << entry.path();
      ++links;
    } else {
      const Gpu gpu = load_gpu(entry.path());
      EXPECT_GT(gpu.memory_bytes, 10e9) << entry.path();
      EXPECT_TRUE(fs::exists(testing::config_file("hardware/" + gpu.interconnect))) << entry.path();
      const std::string beyond = gpu.beyond_group.empty() ? gpu.interconnect : gpu.beyond_group;
      EXPECT_TRUE(fs::exists(testing::config_file("hardware/" + beyond))) << entry.path();
      ++gpus;
    }
    // Every figure says where it is from.
    EXPECT_NE(text.find("  # "), std::string::npos) << entry.path();
  }
  EXPECT_GE(gpus, 20);
  EXPECT_GE(links, 15);
}

TEST(HardwareTest, FiguresOfDataSheets) {
  const Gpu h100 = hardware("h100-80gb");
  EXPECT_DOUBLE_EQ(h100.bandwidth, 3.35e12);
  EXPECT_NEAR(h100.bf16_flops, 989.4e12, 1e9);  // dense; the sheet's 1979 count zeros
  EXPECT_EQ(h100.compute_capability, 90);
  EXPECT_EQ(h100.multiprocessors, 132);
  // 900 GB/s are both directions of NVLink 4; HDR's 200 Gbit/s are 25 GB/s.
  EXPECT_DOUBLE_EQ(load_link(testing::config_file("hardware/nvlink4"), LinkScope::kNode).bandwidth, 450e9);
  EXPECT_DOUBLE_EQ(load_link(testing::config_file("hardware/infiniband-hdr"), LinkScope::kNetwork).bandwidth, 25e9);
  EXPECT_DOUBLE_EQ(load_link(testing::config_file("hardware/infiniband-ndr"), LinkScope::kNetwork).bandwidth, 50e9);
  EXPECT_DOUBLE_EQ(load_link(testing::config_file("hardware/pcie4-x16"), LinkScope::kNode).bandwidth, 31.5e9);
  EXPECT_FALSE(hardware("v100-32gb").runs_lockstep());
  EXPECT_TRUE(hardware("a100-80gb").runs_lockstep());
  EXPECT_TRUE(hardware("epyc-9654").cpu);
}

std::string refusal(const std::string& yaml) {
  const TempDir dir;
  const fs::path file = dir.path() / "mine.yaml";
  std::ofstream(file) << yaml;
  try {
    load_gpu(file.string());
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

constexpr const char* kMine =
    "gpu:\n  memory_mib: 1000\n  bandwidth_gb_per_s: 100\n  bf16_tflops: 10\n  compute_capability: 8.6\n  multiprocessors: 4\n"
    "  context_mib: 100\n  interconnect: pcie4-x16\n";

TEST(HardwareTest, AFileOfTheUsersAddsOne) {
  EXPECT_EQ(refusal(kMine), "");
  EXPECT_EQ(refusal(std::string(kMine) + "  efficiency: {read: 0.5}\n"), "");
}

TEST(HardwareTest, ABadFileIsRefusedWithFileLineKeyAndValue) {
  const auto expect = [](const std::string& yaml, const std::vector<std::string>& parts) {
    const std::string what = refusal(yaml);
    for (const std::string& part : parts) EXPECT_NE(what.find(part), std::string::npos) << what << " lacks " << part;
  };
  std::string bad = kMine;
  bad.replace(bad.find("100\n"), 3, "-3");
  expect(bad, {"mine.yaml:3", "bandwidth_gb_per_s", "-3", "above 0"});
  expect(std::string(kMine) + "  speed: 3\n", {"mine.yaml:9", "speed", "unknown key"});
  expect(std::string(kMine) + "  efficiency: {read: 1.5}\n", {"mine.yaml:9", "gpu.efficiency.read", "1.5"});
  expect(std::string(kMine) + "  gpus_per_link_group: 2\n", {"beyond_group"});
  expect("other: 1\n", {"mine.yaml", "gpu, cpu, link"});
  expect("gpu:\n  memory_mib: 1000\n", {"bandwidth_gb_per_s", "missing"});
  expect("link:\n  scope: node\n  bandwidth_gb_per_s: 1\n  latency_us: 1\n", {"describes a link"});
}

TEST(HardwareTest, ANameThatThereIsNotIsRefusedAndThePlaceNamed) {
  try {
    load_gpu("h1000");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("--gpu h1000"), std::string::npos) << e.what();
  }
  EXPECT_THROW(load_gpu("no/such/file.yaml"), Error);
  EXPECT_THROW(load_link(testing::config_file("hardware/infiniband-hdr"), LinkScope::kNode), Error);
}

}  // namespace
}  // namespace lockstep
