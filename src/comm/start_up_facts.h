// What the ranks know of themselves at start-up, and what is wrong with it: a pure function over the facts of all ranks, so that
// every rule can be tested without the machines that break it. The start-up and `doctor` ask the same questions here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/world.h"

namespace lockstep {

struct GpuFacts {
  struct User {
    int64_t pid = 0;
    std::string name;
    int64_t used_bytes = -1;  // -1: not known
  };
  std::string uuid, name;
  int64_t total_bytes = 0;
  int64_t used_bytes = -1;  // before any rank of the job has opened it; -1: not known
  std::vector<User> users;
};

// Facts that are not known keep their defaults, and no rule speaks of them.
struct RankFacts {
  int rank = 0;
  std::string host;
  int64_t pid = 0;
  int world_size = 1;  // as MPI has it
  // What was promised: by the launcher, in `launcher_variable`, and by --tensor-parallel-size; 0: nothing.
  std::string launcher_variable;
  int launcher_size = 0;
  int launcher_rank = -1;
  int tensor_parallel_size = 0;
  // Hashes and versions, compared as they are.
  std::string executable;  // GNU build id
  std::string model;       // configuration, and index and headers of the checkpoint
  std::string cuda_driver;
  std::string nccl;
  std::optional<GpuFacts> gpu;
  // Bytes in /dev/shm: free (-1: not known), and what this rank will ask for.
  int64_t shm_free_bytes = -1, shm_needed_bytes = 0;
  // NCCL between the ranks: what NCCL_SOCKET_IFNAME says, and the interfaces that are up and have an address.
  bool uses_nccl = false;
  std::optional<std::string> nccl_socket_ifname;
  std::vector<std::string> interfaces;

  std::string name() const;  // "rank 2 on node17"
  std::string to_json() const;
  static RankFacts from_json(const std::string& text);  // throws Error
};

// An error means that the job cannot work, or would compute something else than was asked for; a warning, that it will be slower
// or may fail. `text` names each rank that it concerns with its host, the values, and the remedy.
struct Finding {
  bool is_error = false;
  std::vector<int> ranks;
  std::string text;
};

// facts: of all ranks, by rank; or of one rank alone, for what concerns it alone. Errors first.
std::vector<Finding> judge_start_up(const std::vector<RankFacts>& facts);

// The names of `interfaces` that NCCL would take for this NCCL_SOCKET_IFNAME: names that begin with one of the listed, after '='
// the very names, after '^' all but these. https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html
std::vector<std::string> usable_interfaces(const std::string& nccl_socket_ifname, const std::vector<std::string>& interfaces);

// What this process can tell of itself without a device: rank, host, launcher, executable, /dev/shm, interfaces.
RankFacts own_facts(const World& world);

// Collective. Rank 0 prints the warnings; throws the same Error, with the text of all errors, on every rank. Inside a phase() it
// is printed once.
void check_start_up(const World& world, const RankFacts& mine);

}  // namespace lockstep
