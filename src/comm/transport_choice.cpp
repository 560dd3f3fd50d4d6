#include "comm/transport_choice.h"

#include <fmt/format.h>

#include <bit>

#include "base/error.h"

namespace lockstep {

namespace {
constexpr const char* kNcclRemedy =
    "put a newer libnccl.so.2 first in LD_LIBRARY_PATH, start fewer ranks, or use --allreduce peer";
}

TransportChoice choose_transport(const TransportFacts& f) {
  const bool shared = f.max_ranks_per_gpu > 1;
  const bool nccl_works = !shared || f.nccl_version >= kNcclSharesGpus;
  const std::string why_not_nccl = fmt::format("{} ranks share a GPU, which NCCL allows from 2.30.7 on and this is {}",
                                               f.max_ranks_per_gpu, nccl_version_text(f.nccl_version));
  std::string why_not_peer;
  if (f.hosts > 1) why_not_peer = "the ranks are on several hosts";
  if (f.ranks > f.max_peers) why_not_peer = fmt::format("{} ranks are more than the {} that it serves", f.ranks, f.max_peers);

  AllReduceChoice choice = f.choice;
  if (choice == AllReduceChoice::kHierarchical && f.hosts == 1) choice = AllReduceChoice::kPeer;
  if (choice == AllReduceChoice::kHierarchical && f.ranks_per_host == 1) choice = AllReduceChoice::kNccl;
  switch (choice) {
    case AllReduceChoice::kHierarchical:
      check(f.ranks_per_host > 0 && f.ranks_per_host <= f.max_peers,
            "--allreduce hierarchical: every host must have the same number of ranks, at most {}, but {}; use --allreduce nccl",
            f.max_peers, f.ranks_per_host == 0 ? "they have different ones" : fmt::format("they have {}", f.ranks_per_host));
      check(nccl_works, "--allreduce hierarchical: {}; {}", why_not_nccl, kNcclRemedy);
      return {Transport::kHierarchical, false, "asked for"};
    case AllReduceChoice::kNccl:
      check(nccl_works, "--allreduce nccl: {}; {}", why_not_nccl, kNcclRemedy);
      return {Transport::kNccl, false, "asked for"};
    case AllReduceChoice::kPeer:
      check(why_not_peer.empty(), "--allreduce peer: peer memory works within one host, but {}; use --allreduce nccl",
            why_not_peer);
      return {Transport::kPeer, false, "asked for"};
    case AllReduceChoice::kAuto: break;
  }
  if (!shared) {
    if (why_not_peer.empty() && !f.nvlink) why_not_peer = "NVLink does not join all GPUs, or they are hidden from each other";
    return why_not_peer.empty() ? TransportChoice{Transport::kPeer, true, "NVLink joins all GPUs"}
                                : TransportChoice{Transport::kNccl, false, why_not_peer};
  }
  if (why_not_peer.empty()) {
    return {Transport::kPeer, nccl_works, nccl_works ? fmt::format("{} ranks share a GPU", f.max_ranks_per_gpu) : why_not_nccl};
  }
  check(
      nccl_works,
      "no transport for the collectives: peer memory does not work because {}, NCCL does not because {}; start one rank per GPU",
      why_not_peer, why_not_nccl);
  return {Transport::kNccl, false, why_not_peer};
}

std::string nccl_version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

int nccl_max_ctas(int ranks_per_gpu) {
  // All ranks together 32 CTAs of NCCL's up to 640 threads; from five ranks on half of that, as their shared memory adds up, too.
  const unsigned budget = ranks_per_gpu <= 4 ? 32 : 16;
  const unsigned each = budget / static_cast<unsigned>(ranks_per_gpu > 0 ? ranks_per_gpu : 1);
  return each == 0 ? 1 : static_cast<int>(std::bit_floor(each));
}

}  // namespace lockstep
