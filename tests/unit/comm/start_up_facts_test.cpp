#include "comm/start_up_facts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace lockstep {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20, kGiB = int64_t{1} << 30;

// A healthy job of GPU ranks, two a host: "node0", "node0", "node1", …
std::vector<RankFacts> healthy(int ranks) {
  std::vector<RankFacts> all;
  for (int r = 0; r < ranks; ++r) {
    RankFacts f;
    f.rank = r;
    f.host = fmt::format("node{}", r / 2);
    f.pid = 1000 + r;
    f.world_size = ranks;
    f.launcher_variable = fmt::format("OMPI_COMM_WORLD_SIZE={}", ranks);
    f.launcher_size = ranks;
    f.launcher_rank = r;
    f.tensor_parallel_size = ranks;
    f.executable = "abc";
    f.model = "0123-4567";
    f.cuda_driver = "12.4 (550.54.15)";
    f.nccl = "2.28.9";
    f.gpu = GpuFacts{fmt::format("GPU-{}", r), "NVIDIA H100 80GB HBM3", 80 * kGiB, 500 * kMiB, {}};
    f.shm_free_bytes = kGiB;
    f.shm_needed_bytes = kMiB;
    f.uses_nccl = true;
    f.interfaces = {"lo", "eth0", "ib0"};
    all.push_back(std::move(f));
  }
  return all;
}

// Exactly one finding, of this kind and about these ranks, whose text holds all `parts`.
void expect_one(const std::vector<RankFacts>& facts, bool is_error, const std::vector<int>& ranks,
                const std::vector<std::string>& parts) {
  const auto findings = judge_start_up(facts);
  ASSERT_EQ(findings.size(), 1u) << (findings.empty() ? "" : findings[0].text + " | " + findings.back().text);
  EXPECT_EQ(findings[0].is_error, is_error) << findings[0].text;
  EXPECT_EQ(findings[0].ranks, ranks) << findings[0].text;
  for (const std::string& part : parts) {
    EXPECT_NE(findings[0].text.find(part), std::string::npos) << "no '" << part << "' in: " << findings[0].text;
  }
}

TEST(StartUpFacts, NothingIsWrongWithAHealthyJob) {
  for (const int ranks : {1, 2, 3, 8, 100}) EXPECT_TRUE(judge_start_up(healthy(ranks)).empty()) << ranks;
  EXPECT_TRUE(judge_start_up({RankFacts()}).empty()) << "nothing known, nothing said";
}

TEST(StartUpFacts, SeparateWorldsAreRefused) {
  RankFacts f = healthy(1)[0];
  f.launcher_size = 4;
  f.launcher_rank = 2;
  f.launcher_variable = "SLURM_STEP_NUM_TASKS=4";
  expect_one({f}, true, {0}, {"4 processes", "SLURM_STEP_NUM_TASKS=4", "world of 1", "node0", "--mpi=pmix", "--mpi=pmi2"});
  f.launcher_size = 0;  // a launcher that tells the rank only
  f.launcher_variable = "PMIX_RANK=2";
  expect_one({f}, true, {0}, {"process 2", "PMIX_RANK=2", "world of 1"});
  f.launcher_rank = 0;
  EXPECT_TRUE(judge_start_up({f}).empty()) << "a single process that a launcher started";
}

TEST(StartUpFacts, AnotherNumberThanTensorParallelSizeIsRefused) {
  auto facts = healthy(2);
  for (RankFacts& f : facts) f.tensor_parallel_size = 4;
  expect_one(facts, true, {0, 1}, {"--tensor-parallel-size 4", "2 ranks were started", "mpirun -np 4"});
  for (RankFacts& f : facts) f.tensor_parallel_size = 0;
  EXPECT_TRUE(judge_start_up(facts).empty());
}

TEST(StartUpFacts, OtherBuildModelNcclAndDriverAreNamed) {
  auto facts = healthy(4);
  facts[3].executable = "def";
  expect_one(facts, true, {3}, {"executable", "'abc' on rank 0 on node0, rank 1 on node0", "'def' on rank 3 on node1"});
  facts = healthy(4);
  facts[0].model = "9999-4567";
  expect_one(facts, true, {1, 2, 3}, {"model", "'9999-4567' on rank 0 on node0"});
  facts = healthy(4);
  facts[2].nccl = facts[3].nccl = "2.27.3";
  expect_one(facts, true, {2, 3}, {"NCCL", "'2.27.3' on rank 2 on node1, rank 3 on node1"});
  facts = healthy(4);
  facts[2].cuda_driver = "12.2 (535.1)";
  expect_one(facts, false, {2}, {"CUDA driver", "'12.2 (535.1)' on rank 2 on node1"});
  facts[2].cuda_driver = "";
  EXPECT_TRUE(judge_start_up(facts).empty()) << "what is not known does not differ";
}

TEST(StartUpFacts, ALongListOfRanksIsCutShort) {
  auto facts = healthy(64);
  facts[7].executable = "def";
  expect_one(facts, true, {7}, {"rank 3 on node1 and 59 more", "'def' on rank 7 on node3"});
}

TEST(StartUpFacts, GpusThatDifferOrAreShared) {
  auto facts = healthy(4);
  facts[1].gpu->name = "NVIDIA A100-SXM4-80GB";
  expect_one(facts, false, {1}, {"model of their GPU", "'NVIDIA A100-SXM4-80GB' on rank 1 on node0"});
  facts = healthy(4);
  facts[2].gpu->total_bytes = 40 * kGiB;
  expect_one(facts, false, {2}, {"memory of their GPU", "'40960 MiB' on rank 2 on node1", "'81920 MiB'"});
  facts[2].gpu->total_bytes = 80 * kGiB - 400 * kMiB;
  EXPECT_TRUE(judge_start_up(facts).empty()) << "the same GPU under another driver";
  facts = healthy(4);
  facts[1].gpu->uuid = facts[0].gpu->uuid;
  expect_one(facts, false, {0, 1}, {"share a GPU", "GPU-0 of node0: ranks 0, 1"});
  facts = healthy(4);
  facts[2].gpu->uuid = facts[0].gpu->uuid;
  EXPECT_TRUE(judge_start_up(facts).empty()) << "UUIDs count within a host";
}

TEST(StartUpFacts, AFullGpuIsRefusedAndItsUsersNamed) {
  auto facts = healthy(2);
  facts[1].gpu->used_bytes = 79 * kGiB;
  facts[1].gpu->users = {{4242, "python3", 78 * kGiB}, {1000, "lockstep", kGiB}, {77, "", -1}};
  expect_one(facts, true, {1},
             {"rank 1 on node0", "GPU-1 is full", "80896 of 81920 MiB", "process 4242 python3 (79872 MiB), process 77"});
  EXPECT_EQ(judge_start_up(facts)[0].text.find("process 1000"), std::string::npos) << "that is rank 0";
  facts[1].gpu->used_bytes = 20 * kGiB;
  expect_one(facts, false, {1}, {"in use by others", "4242", "--gpu-memory-utilization"});
  facts[1].gpu->users.clear();
  expect_one(facts, false, {1}, {"processes that the driver does not name"});
  facts[0].gpu = facts[1].gpu;
  EXPECT_EQ(judge_start_up(facts).size(), 2u) << "a shared GPU is spoken of once, and the sharing";
  facts[1].gpu->used_bytes = facts[0].gpu->used_bytes = -1;
  EXPECT_EQ(judge_start_up(facts).size(), 1u);
}

TEST(StartUpFacts, TooLittleSharedMemory) {
  auto facts = healthy(4);
  facts[2].shm_free_bytes = facts[3].shm_free_bytes = kMiB + kMiB / 2;
  expect_one(facts, true, {2, 3}, {"/dev/shm of node1", "1.5 MiB free", "need 2.0 MiB", "--shm-size"});
  facts[2].shm_free_bytes = facts[3].shm_free_bytes = 3 * kMiB;
  expect_one(facts, false, {2, 3}, {"/dev/shm of node1", "NCCL may need"});
  for (RankFacts& f : facts) f.uses_nccl = false;
  EXPECT_TRUE(judge_start_up(facts).empty());
}

TEST(StartUpFacts, InterfacesThatNcclCannotUse) {
  auto facts = healthy(4);
  facts[3].nccl_socket_ifname = "enp,=wrong";
  expect_one(facts, true, {3}, {"rank 3 on node1", "NCCL_SOCKET_IFNAME=enp,=wrong", "lo, eth0, ib0"});
  facts[3].nccl_socket_ifname = "eth,ib";
  EXPECT_TRUE(judge_start_up(facts).empty());
  facts[3].nccl_socket_ifname.reset();
  facts[3].interfaces = {"lo", "docker0"};
  expect_one(facts, true, {3}, {"rank 3 on node1", "reaches other hosts", "lo, docker0"});
  for (RankFacts& f : facts) f.host = "node0";
  EXPECT_TRUE(judge_start_up(facts).empty()) << "one host needs no network";
}

TEST(StartUpFacts, InterfacesAsNcclChoosesThem) {
  const std::vector<std::string> all{"lo", "eth0", "eth1", "ib0"};
  EXPECT_EQ(usable_interfaces("eth", all), (std::vector<std::string>{"eth0", "eth1"}));
  EXPECT_EQ(usable_interfaces("=eth0", all), (std::vector<std::string>{"eth0"}));
  EXPECT_TRUE(usable_interfaces("=eth", all).empty());
  EXPECT_EQ(usable_interfaces("^eth", all), (std::vector<std::string>{"lo", "ib0"}));
  EXPECT_EQ(usable_interfaces("^=eth0,lo", all), (std::vector<std::string>{"eth1", "ib0"}));
  EXPECT_EQ(usable_interfaces("ib0,lo", all), (std::vector<std::string>{"lo", "ib0"}));
}

TEST(StartUpFacts, ErrorsComeFirst) {
  auto facts = healthy(2);
  facts[1].cuda_driver = "12.2";
  facts[1].gpu->name = "other";
  facts[1].model = "other";
  const auto findings = judge_start_up(facts);
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_TRUE(findings[0].is_error);
  EXPECT_FALSE(findings[1].is_error);
  EXPECT_FALSE(findings[2].is_error);
}

TEST(StartUpFacts, SurviveTheirExchange) {
  RankFacts f = healthy(2)[1];
  f.gpu->users = {{1, "a \"quoted\" name", 5}, {2, "", -1}};
  f.nccl_socket_ifname = "eth0";
  EXPECT_EQ(RankFacts::from_json(f.to_json()).to_json(), f.to_json());
  const RankFacts g = RankFacts::from_json(f.to_json());
  EXPECT_EQ(g.rank, 1);
  EXPECT_EQ(g.host, "node0");
  EXPECT_EQ(g.gpu->users.at(0).name, "a \"quoted\" name");
  EXPECT_EQ(g.shm_needed_bytes, kMiB);
  f.gpu.reset();
  f.nccl_socket_ifname.reset();
  f.host = "not\xffUTF-8";
  EXPECT_FALSE(RankFacts::from_json(f.to_json()).gpu);
  EXPECT_THROW(RankFacts::from_json("{}"), Error);
  EXPECT_THROW(RankFacts::from_json("lockstep"), Error);
}

}  // namespace
}  // namespace lockstep
