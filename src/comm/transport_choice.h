// Which transport carries the device collectives, as a pure function of what is known at start-up.
#pragma once

#include <string>

#include "config/options.h"

namespace lockstep {

struct TransportFacts {
  AllReduceChoice choice = AllReduceChoice::kAuto;
  int ranks = 1;
  int max_peers = 1;  // ranks that peer memory can serve
  int hosts = 1;
  int ranks_per_host = 1;  // 0: not the same on all
  int max_ranks_per_gpu = 1;
  bool nvlink = false;   // NVLink joins every two of the GPUs of a host, as far as every rank can see
  int nccl_version = 0;  // as ncclGetVersion() gives it: 22809 is 2.28.9
};

enum class Transport { kNccl, kPeer, kHierarchical };

struct TransportChoice {
  Transport transport = Transport::kNccl;
  bool nccl_fallback = false;  // if peer memory fails its self-test, NCCL takes over
  std::string reason;
};

// From this version on, several ranks may share a GPU.
inline constexpr int kNcclSharesGpus = 23007;

// Throws Error that says why and what to do when no transport can work or the one asked for cannot.
TransportChoice choose_transport(const TransportFacts& facts);

// "2.28.9"
std::string nccl_version_text(int version);

// The value of NCCL_MAX_CTAS with which the kernels of all ranks of one GPU run at once: 16, 8, 8, 2 for 2, 3, 4, 8 ranks.
int nccl_max_ctas(int ranks_per_gpu);

}  // namespace lockstep
