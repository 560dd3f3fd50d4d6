// Faults planted in the facts of a sound job: each is found, by the right check, on the right ranks, with something to do about
// it.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <limits>

#include "tools/doctor/checks.h"
#include "tools/doctor/layer_probe.h"
#include "tools/doctor/model_facts.h"
#include "tools/doctor/recommend.h"
#include "tools/doctor/remedy.h"
#include "tools/doctor/report.h"
#include "tools/doctor/storage_probe.h"
#include "tools/doctor/transport_checks.h"
#include "unit/tools/doctor_job.h"

namespace lockstep::doctor {
namespace {

Findings bad(const Findings& all) {
  Findings result;
  for (const Finding& f : all) {
    if (f.status >= Status::kWarn) result.push_back(f);
  }
  return result;
}

std::string print(const Findings& findings) {
  std::string text;
  for (const Finding& f : findings)
    text += std::string(name_of(f.status)) + " " + f.check + " [" + f.where + "] " + f.seen + "\n";
  return text;
}

struct Fault {
  const char* name;
  bool cuda;
  std::function<void(Job&)> plant;
  const char* check;
  Status status;
  std::vector<int> ranks;
  const char* seen;    // a part of what is seen
  const char* remedy;  // a part of what to do
};

std::vector<Fault> faults() {
  const auto rank = [](Job& job, int r) -> RankFacts& { return job.ranks[static_cast<size_t>(r)]; };
  const auto host = [](Job& job, int h, const std::function<void(RankFacts&)>& change) {
    for (RankFacts& r : job.ranks) {
      if (r.launch.host == "node" + std::to_string(h + 1)) change(r);
    }
  };
  const std::vector<int> all{0, 1, 2, 3};
  return {
      {"other binary",
       false,
       [=](Job& j) { rank(j, 2).launch.binary_sha256 = std::string(64, 'b'); },
       "program",
       Status::kFail,
       {2},
       "bbbb",
       "same file"},
      {"other MPI",
       false,
       [=](Job& j) { rank(j, 3).launch.mpi_library = "MPICH 4.0"; },
       "MPI library",
       Status::kFail,
       {3},
       "MPICH",
       "one MPI"},
      {"other command line",
       false,
       [=](Job& j) { rank(j, 1).launch.arguments = "doctor --json"; },
       "command line",
       Status::kFail,
       {1},
       "--json",
       "same arguments"},
      {"launcher promised more", false,
       [=](Job& j) {
         for (auto& r : j.ranks) r.launch.launched_ranks = 8;
       },
       "ranks", Status::kFail, all, "promised 8", "--mpi=pmix"},
      {"tp and ranks", false, [](Job& j) { j.tensor_parallel_size = 8; }, "tensor-parallel size", Status::kFail, all, "4 ranks",
       "mpirun -np 8"},
      {"two machines, one name", false, [=](Job& j) { rank(j, 1).launch.boot_id = "other"; }, "host names", Status::kFail, all,
       "2 machines", "host names"},
      {"cyclic ranks", false,
       [](Job& j) {
         std::swap(j.ranks[1].launch.host, j.ranks[2].launch.host);
         std::swap(j.ranks[1].launch.boot_id, j.ranks[2].launch.boot_id);
       },
       "rank order", Status::kWarn, all, "node1: 0,2", "--distribution=block"},
      {"environment of one rank",
       false,
       [=](Job& j) {
         rank(j, 3).launch.environment = {{"NCCL_SOCKET_IFNAME", "eth1"}};
       },
       "environment",
       Status::kWarn,
       {3},
       "eth1",
       "mpirun -x"},
      {"P2P off", true,
       [](Job& j) {
         for (auto& r : j.ranks) r.launch.environment = {{"NCCL_P2P_DISABLE", "1"}};
       },
       "environment", Status::kWarn, all, "NCCL_P2P_DISABLE=1", "unset"},
      {"bound to one core",
       false,
       [=](Job& j) { rank(j, 1).cores.allowed = {4}; },
       "binding",
       Status::kWarn,
       {1},
       "1 of 8",
       "--bind-to none"},
      {"on another's cores",
       false,
       [](Job& j) {
         for (int r : {0, 1}) j.ranks[static_cast<size_t>(r)].cores.allowed = {0};
         for (int r : {0, 1}) j.ranks[static_cast<size_t>(r)].cores.online = 2;
       },
       "oversubscription",
       Status::kWarn,
       {0, 1},
       "2 ranks on 1 hardware",
       "fewer ranks"},
      {"CPU quota",
       false,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.cores.quota = 1.5; }); },
       "oversubscription",
       Status::kWarn,
       {2, 3},
       "grants 1.5",
       "--cpus-per-task"},
      {"other programs",
       false,
       [=](Job& j) { host(j, 0, [](RankFacts& r) { r.cores.load = 9.0; }); },
       "other load",
       Status::kWarn,
       {0, 1},
       "load 9.0",
       "--exclusive"},
      {"across sockets",
       false,
       [=](Job& j) {
         rank(j, 0).cores.numa = {0, 1};
       },
       "NUMA",
       Status::kWarn,
       {0},
       "0,1 of 2",
       "numa"},
      {"unequal processors",
       false,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.cores.model = "Old"; }); },
       "processors",
       Status::kWarn,
       {2},
       "Old",
       "--constraint"},
      {"locked memory",
       true,
       [=](Job& j) { rank(j, 2).limits.locked_memory = 64 << 10; },
       "locked memory",
       Status::kFail,
       {2},
       "64 KiB",
       "ulimit -l"},
      {"few descriptors",
       false,
       [=](Job& j) { rank(j, 0).limits.open_files = 64; },
       "open files",
       Status::kFail,
       {0},
       "64",
       "ulimit -n"},
      {"address space",
       true,
       [=](Job& j) { rank(j, 0).limits.address_space = 8 * kTestGiB; },
       "address space",
       Status::kFail,
       {0},
       "8.0 GiB",
       "ulimit -v"},
      {"full /dev/shm",
       false,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.limits.shm_free = 1 << 20; }); },
       "shared memory",
       Status::kFail,
       {2},
       "1 MiB free",
       "--shm-size"},
      {"Docker's /dev/shm",
       true,
       [=](Job& j) { host(j, 0, [](RankFacts& r) { r.limits.shm_total = r.limits.shm_free = 64 << 20; }); },
       "shared memory",
       Status::kWarn,
       {0},
       "64 MiB",
       "--shm-size"},
      {"cgroup too small",
       false,
       [=](Job& j) {
         j.need =
             ModelNeed{"big", {40 * kTestGiB, 40 * kTestGiB, 40 * kTestGiB, 40 * kTestGiB}, {0, 0, 0, 0}, {1, 1, 1, 1}, 4096};
         host(j, 0, [](RankFacts& r) {
           r.memory.total = 32 * kTestGiB;
           r.memory.free = 30 * kTestGiB;
         });
       },
       "host memory",
       Status::kFail,
       {0, 1},
       "limit of the cgroup",
       "--mem"},
      {"killed for memory",
       false,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.memory.oom_kills = 2; }); },
       "host memory",
       Status::kWarn,
       {2, 3},
       "killed 2",
       "--mem"},
      {"ports down",
       true,
       [=](Job& j) {
         host(j, 1, [](RankFacts& r) {
           for (auto& p : r.network.ports) p.state = "DOWN";
         });
       },
       "InfiniBand",
       Status::kFail,
       {2},
       "DOWN",
       "ibstat"},
      {"one port down",
       true,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.network.ports[1].state = "DOWN"; }); },
       "InfiniBand",
       Status::kWarn,
       {2},
       "mlx5_1:1 InfiniBand 400 Gb/s DOWN",
       "NCCL_IB_HCA"},
      {"far NIC",
       true,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.network.ports.pop_back(); }); },
       "NIC affinity",
       Status::kWarn,
       {3},
       "NUMA node 1",
       "near a NIC"},
      {"slow port",
       true,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.network.ports[1].gbit = 100.0; }); },
       "InfiniBand",
       Status::kWarn,
       {2},
       "100 Gb/s",
       "NCCL_IB_HCA=^mlx5_1"},
      {"slow Ethernet",
       false,
       [](Job& j) {
         for (auto& r : j.ranks) {
           r.network.ports.clear();
           r.network.interfaces = {{"eth0", 1.0}};
         }
       },
       "Ethernet",
       Status::kWarn,
       {0, 2},
       "1 Gb/s",
       "one host"},
      {"no GPUDirect",
       true,
       [=](Job& j) { host(j, 0, [](RankFacts& r) { r.network.peer_memory_module = false; }); },
       "GPUDirect",
       Status::kWarn,
       {0},
       "neither",
       "nvidia_peermem"},
      {"IOMMU",
       true,
       [=](Job& j) { host(j, 0, [](RankFacts& r) { r.bus.iommu_groups = 50; }); },
       "IOMMU",
       Status::kWarn,
       {0},
       "translating",
       "iommu=pt"},
      {"ACS",
       true,
       [=](Job& j) { host(j, 0, [](RankFacts& r) { r.bus.acs_bridges = {"0000:10:00.0"}; }); },
       "ACS",
       Status::kWarn,
       {0},
       "0000:10:00.0",
       "setpci"},
      {"no GPU here",
       true,
       [=](Job& j) {
         rank(j, 1).device.visible.clear();
         rank(j, 1).device.why_no_gpu = "no device";
       },
       "GPUs",
       Status::kFail,
       {1},
       "no device",
       "CUDA_VISIBLE_DEVICES"},
      {"build without CUDA", false,
       [](Job& j) {
         for (auto& r : j.ranks) r.device.has_driver = true;
       },
       "GPUs", Status::kWarn, all, "no CUDA", "--preset cuda"},
      {"fewer GPUs than ranks", true,
       [=](Job& j) {
         host(j, 0, [](RankFacts& r) {
           r.device.visible.resize(1);
           r.device.visible[0] = "GPU-00";
           r.launch.local_size = 2;
         });
         j.ranks[0].launch.local_size = j.ranks[1].launch.local_size = 2;
       },
       "ranks per GPU", Status::kWarn, all, "0,1 share", "--gpus"},
      {"other driver",
       true,
       [=](Job& j) { host(j, 1, [](RankFacts& r) { r.device.driver_version = "535.1"; }); },
       "driver",
       Status::kFail,
       {2},
       "535.1",
       "same driver"},
      {"old driver",
       true,
       [](Job& j) {
         for (auto& r : j.ranks) r.device.cuda_of_driver = "11.8";
       },
       "CUDA",
       Status::kFail,
       {0, 2},
       "up to 11.8",
       "update the driver"},
      {"other NCCL",
       true,
       [=](Job& j) { rank(j, 3).device.nccl = "2.18.1"; },
       "NCCL",
       Status::kFail,
       {3},
       "2.18.1",
       "LD_LIBRARY_PATH"},
      {"mixed GPUs",
       true,
       [=](Job& j) {
         for (auto& g : rank(j, 3).device.gpus) g.name = "NVIDIA A100";
       },
       "GPU models",
       Status::kWarn,
       {3},
       "A100",
       "equal GPUs"},
      {"memory held",
       true,
       [=](Job& j) {
         auto& g = rank(j, 1).device.gpus[1];
         g.free = 20 * kTestGiB;
         g.processes = {{4711, "python", 59 * kTestGiB}};
       },
       "GPU memory",
       Status::kWarn,
       {1},
       "process 4711 python: 59 GiB",
       "stop those"},
      {"uneven memory",
       true,
       [=](Job& j) { rank(j, 1).device.gpus[1].free = 20 * kTestGiB; },
       "even GPU memory",
       Status::kWarn,
       {1},
       "20 GiB to 79 GiB",
       "leave that GPU out"},
      {"does not fit",
       true,
       [](Job& j) {
         j.need = ModelNeed{"big", {90 * kTestGiB, 1, 1, 1}, {0, 0, 0, 0}, {1, 1, 1, 1}, 4096};
       },
       "GPU memory",
       Status::kFail,
       {0},
       "79 GiB free",
       "more GPUs"},
      {"two ranks fit a GPU only one by one",
       true,
       [=](Job& j) {
         host(j, 0, [](RankFacts& r) { r.device.visible = {"GPU-00"}; });
         j.need = ModelNeed{"big", std::vector<int64_t>(4, 50 * kTestGiB), {0, 0, 0, 0}, {1, 1, 1, 1}, 4096};
       },
       "GPU memory",
       Status::kFail,
       {0, 1},
       "79 GiB free",
       "more GPUs"},
      {"ECC",
       true,
       [=](Job& j) { rank(j, 2).device.gpus[0].uncorrected_errors = 3; },
       "ECC",
       Status::kFail,
       {2},
       "3 uncorrected",
       "replace"},
      {"hot",
       true,
       [=](Job& j) { rank(j, 2).device.gpus[0].slowdowns = {"thermal (hardware)"}; },
       "clocks",
       Status::kWarn,
       {2},
       "thermal",
       "cooling"},
      {"power cap",
       true,
       [=](Job& j) {
         auto& g = rank(j, 0).device.gpus[0];
         g.power_capped = true;
         g.power_limit = 300;
         g.default_power_limit = 700;
       },
       "clocks",
       Status::kWarn,
       {0},
       "300 W of 700 W",
       "power-limit"},
      {"compute mode",
       true,
       [=](Job& j) { rank(j, 0).device.gpus[0].compute_mode = "prohibited"; },
       "compute mode",
       Status::kFail,
       {0},
       "prohibited",
       "compute-mode=0"},
      {"MIG",
       true,
       [=](Job& j) { rank(j, 0).device.gpus[0].mig = true; },
       "compute mode",
       Status::kWarn,
       {0},
       "MIG",
       "without MIG"},
      {"narrow PCIe",
       true,
       [=](Job& j) { rank(j, 3).device.gpus[1].pcie_width = 4; },
       "PCIe",
       Status::kWarn,
       {3},
       "×4 of ×16",
       "reseat"},
      {"NVLink down",
       true,
       [=](Job& j) { rank(j, 3).device.gpus[1].active_nvlinks = 0; },
       "NVLink",
       Status::kWarn,
       {3},
       "0 of 18",
       "fabricmanager"},
      {"a link lost",
       true,
       [=](Job& j) { rank(j, 0).device.gpus[0].active_nvlinks = 17; },
       "NVLink",
       Status::kWarn,
       {0},
       "17 of 18",
       "errorcounters"},
      {"no peer access",
       true,
       [=](Job& j) { host(j, 0, [](RankFacts& r) { r.device.peer_access[0][1] = 0; }); },
       "peer access",
       Status::kWarn,
       {0},
       "GPUs 0-1",
       "smaller tp"},
      {"far cores",
       true,
       [=](Job& j) {
         rank(j, 0).cores.allowed = {4, 5};
         rank(j, 1).cores.allowed = {6, 7};
       },
       "GPU affinity",
       Status::kWarn,
       {0},
       "cores 4,5",
       "closest"},
      {"no NVML",
       true,
       [=](Job& j) {
         host(j, 1, [](RankFacts& r) {
           r.device.why_no_nvml = "cannot open";
           r.device.gpus.clear();
         });
       },
       "NVML",
       Status::kWarn,
       {2},
       "cannot open",
       "libnvidia-ml"},
      {"a dead mount",
       false,
       [=](Job& j) {
         rank(j, 2).unanswered = {{"memory", "no answer within 6.0 s"}};
       },
       "memory",
       Status::kFail,
       {2},
       "no answer",
       "dmesg"},
  };
}

TEST(DoctorChecksTest, SoundJobsHaveNothingToTell) {
  for (const bool cuda : {false, true}) {
    for (const int hosts : {1, 2}) {
      const Findings findings = check_facts(sound_job(hosts, 2, cuda));
      EXPECT_GT(findings.size(), 15u);
      EXPECT_TRUE(bad(findings).empty()) << print(bad(findings));
    }
  }
}

TEST(DoctorChecksTest, PlantedFaultsAreFound) {
  for (const Fault& fault : faults()) {
    SCOPED_TRACE(fault.name);
    Job job = sound_job(2, 2, fault.cuda);
    fault.plant(job);
    const Findings findings = bad(check_facts(job));
    bool found = false;
    for (const Finding& f : findings) {
      EXPECT_FALSE(f.remedy.empty()) << f.check;
      EXPECT_FALSE(f.seen.empty()) << f.check;
      found = found || (f.check == fault.check && f.status == fault.status && f.ranks == fault.ranks &&
                        f.seen.find(fault.seen) != std::string::npos && f.remedy.find(fault.remedy) != std::string::npos);
    }
    EXPECT_TRUE(found) << "not found among\n" << print(findings);
    // What one fault brings along must not bury it.
    EXPECT_LE(findings.size(), 4u) << print(findings);
  }
}

TEST(DoctorChecksTest, FactsSurviveTheExchange) {
  for (const RankFacts& r : sound_job(2, 2, true).ranks) EXPECT_EQ(to_text(facts_from_text(to_text(r))), to_text(r));
}

TEST(DoctorChecksTest, RanksAreNamedShortly) {
  const Job job = sound_job(2, 4, false);
  EXPECT_EQ(job.describe({0, 1, 2, 3, 4, 5, 6, 7}), "all ranks");
  EXPECT_EQ(job.describe({0, 1, 2, 5}), "ranks 0-2 on node1, rank 5 on node2");
  EXPECT_EQ(ranges_of({1, 2, 4, 6, 7, 8}), "1,2,4,6-8");
}

TEST(DoctorChecksTest, SumsAndSpeedOfAllReduce) {
  const Job job = sound_job(1, 2, true);
  AllReduceReport report{"NCCL", {{8192, 10e-6, 0}, {64 << 20, 300e-6, 0}}, 3e12, 0.0};
  EXPECT_TRUE(bad(check_all_reduce(job, report)).empty()) << print(check_all_reduce(job, report));
  report.figures[1].seconds = 30e-3;  // 2 GB/s over NVLink
  ASSERT_EQ(bad(check_all_reduce(job, report)).size(), 1u);
  EXPECT_EQ(bad(check_all_reduce(job, report))[0].check, "AllReduce speed");
  report.figures[0].seconds = 3e-3;  // as where ranks wait for a core
  ASSERT_EQ(bad(check_all_reduce(job, report)).size(), 2u);
  EXPECT_EQ(bad(check_all_reduce(job, report))[0].check, "AllReduce latency");
  EXPECT_NE(bad(check_all_reduce(job, report))[0].remedy.find("binding"), std::string::npos);
  report.figures[0].wrong = 5;
  EXPECT_EQ(worst(check_all_reduce(job, report)), Status::kFail);
}

TEST(DoctorChecksTest, ErrorsOfAStepSayWhereToLook) {
  struct Case {
    const char* error;
    const char* remedy;
  };
  for (const Case& c :
       {Case{"NCCL could not connect the ranks: unhandled system error", "NCCL_DEBUG=INFO"},
        Case{"weights: out of memory: 40000000000 bytes were asked for", "lockstep plan"},
        Case{"shared memory: cannot get 1.0 MiB for this rank's part: No space left on device", "--shm-size"},
        Case{"cudaStreamSynchronize: unspecified launch failure", "dmesg"},
        Case{"rank 1/2 on node2 has not come to an end within 34 s", "firewall"}, Case{"waited 6 s for ranks 1, 3", "stopped"}}) {
    EXPECT_NE(remedy_of_error(c.error).find(c.remedy), std::string::npos) << c.error << ": " << remedy_of_error(c.error);
  }
}

TEST(DoctorChecksTest, ClocksAndNetworks) {
  const Job job = sound_job(2, 2, false);
  std::vector<PeerTiming> timings(4, {20e-6, 0.0});
  EXPECT_TRUE(bad(check_clocks(job, timings)).empty());
  timings[2].clock_offset_s = timings[3].clock_offset_s = -90.0;
  Findings found = bad(check_clocks(job, timings));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].where, "node2");
  EXPECT_NE(found[0].seen.find("-90.0 s"), std::string::npos);
  EXPECT_TRUE(bad(check_host_links(job, {0, 0, 10e9, 0})).empty());
  EXPECT_EQ(bad(check_host_links(job, {0, 0, 1e8, 0})).size(), 1u);
}

TEST(DoctorChecksTest, OneLayerComparesBitsAndRefusesNaN) {
  const Job job = sound_job(1, 3, false);
  std::vector<LayerResults> results(3, LayerResults{{{-8.0f, -7.5f}, "aa"}, {{-8.0f, -7.5001f}, "bb"}, "cpu"});
  EXPECT_TRUE(bad(check_layer(job, results, DType::kFloat32)).empty());
  results[1].alone.bits = "ac";
  ASSERT_EQ(bad(check_layer(job, results, DType::kFloat32)).size(), 1u);
  EXPECT_EQ(bad(check_layer(job, results, DType::kFloat32))[0].ranks, std::vector<int>{1});
  EXPECT_EQ(worst(check_layer(job, results, DType::kFloat32)), Status::kFail);
  results[1].device = "cpu of another kind";  // which rounds otherwise
  EXPECT_EQ(worst(check_layer(job, results, DType::kFloat32)), Status::kWarn);
  results[2].together.logprobs[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(worst(check_layer(job, results, DType::kFloat32)), Status::kFail);
  const LayerResults copy = layer_results_from_text(to_text(results[2]));
  EXPECT_TRUE(std::isnan(copy.together.logprobs[0]));
  results[2].together.logprobs = {-8.0f, -7.6f};
  EXPECT_EQ(worst(check_layer(job, results, DType::kFloat32)), Status::kFail);
}

TEST(DoctorChecksTest, ModelsAreComparedBetweenHosts) {
  const Job job = sound_job(2, 2, false);
  std::vector<ModelFacts> facts(4, ModelFacts{"", "hash", 1000, true});
  EXPECT_TRUE(bad(check_model_facts(job, facts, "m")).empty());
  facts[2].fingerprint = facts[3].fingerprint = "other";
  EXPECT_EQ(bad(check_model_facts(job, facts, "m"))[0].check, "model copies");
  facts[3].problem = "model.safetensors: truncated";
  facts[0].has_end = false;
  const Findings found = bad(check_model_facts(job, facts, "m"));
  EXPECT_EQ(found.size(), 3u) << print(found);
  const std::vector<ReadRate> slow(4, ReadRate{1 << 20, 1.0, true});
  EXPECT_EQ(worst(check_storage(job, slow, int64_t{140} << 30)), Status::kWarn);
  EXPECT_EQ(worst(check_storage(job, slow, 4 << 20)), Status::kPass);
}

TEST(DoctorChecksTest, ReadsFilesAtARate) {
  const std::filesystem::path directory = std::filesystem::path(testing::TempDir()) / "doctor_reads";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  EXPECT_THROW(measure_reads(directory, 0, 1, 1.0, 1 << 20), std::exception);
  std::ofstream(directory / "model.safetensors") << std::string(9 << 20, 'x');
  for (const int rank : {0, 1, 2}) {
    const ReadRate rate = measure_reads(directory, rank, 3, 5.0, 1 << 30);
    EXPECT_EQ(rate.bytes, 8 << 20);  // whole pieces
    EXPECT_GT(rate.rate(), 0.0);
  }
}

TEST(DoctorChecksTest, RecommendsByTheGpusThatThereAre) {
  Job job = sound_job(1, 2, true);
  EXPECT_NE(recommend(job, CommandLine{}).text.find("(2 × "), std::string::npos) << recommend(job, CommandLine{}).text;
  for (RankFacts& r : job.ranks) {  // one that both share
    r.device.visible = {job.ranks[0].device.visible[0]};
  }
  EXPECT_NE(recommend(job, CommandLine{}).text.find("tp up to 1 on such a host (1 × "), std::string::npos)
      << recommend(job, CommandLine{}).text;
}

TEST(DoctorChecksTest, ReportsSayWhatToDo) {
  Job job = sound_job(2, 2, false);
  job.ranks[2].limits.open_files = 64;
  const Report report{check_facts(job), {2, "tp 2"}, 1.5};
  const std::string table = table_of(job, report);
  for (const char* part : {"fail  open files", "rank 2 on node2", "expected: at least 1024", "what to do: ulimit -n", "1 fail",
                           "recommended: tp 2"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  }
  const auto json = json_of(job, report);
  EXPECT_EQ(json["status"], "fail");
  EXPECT_EQ(json["recommendation"]["tensor_parallel_size"], 2);
  for (const auto& check : json["checks"]) {
    if (check["status"] == "fail") {
      EXPECT_EQ(check["ranks"], nlohmann::json::array({2}));
      EXPECT_EQ(check["hosts"], nlohmann::json::array({"node2"}));
    }
  }
}

}  // namespace
}  // namespace lockstep::doctor
