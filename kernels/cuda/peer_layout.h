// How the memory that ranks share for collectives is laid out (peer_view.h). Plain C++ without CUDA's headers, so that `lockstep
// plan` counts it on machines without CUDA, too.
#pragma once

#include <cstddef>

namespace lockstep::cuda {

inline constexpr int kMaxPeers = 16;     // ranks of one host that peer memory serves
inline constexpr int kPeerBlocks = 128;  // thread blocks of one of its collectives, at most
// A rank's region (peer_view.h): numbers and flags, two sets of mailboxes, one from each rank, two slots, and staging of the same
// size.
inline constexpr size_t kPeerMailboxOffset = size_t{64} << 10;
inline constexpr size_t kPeerMailboxBytes = size_t{256} << 10;
constexpr size_t peer_slots_offset(int ranks) { return kPeerMailboxOffset + 2 * static_cast<size_t>(ranks) * kPeerMailboxBytes; }
constexpr size_t peer_staging_offset(int ranks, size_t slot_bytes) { return peer_slots_offset(ranks) + 2 * slot_bytes; }
constexpr size_t peer_region_bytes(int ranks, size_t slot_bytes) { return peer_slots_offset(ranks) + 3 * slot_bytes; }

}  // namespace lockstep::cuda
