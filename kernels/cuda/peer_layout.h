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
inline constexpr size_t kPeerMailboxSetBytes = size_t{4} << 20;
constexpr size_t peer_mailbox_bytes(int ranks) { return kPeerMailboxSetBytes / static_cast<size_t>(ranks) / 256 * 256; }
inline constexpr size_t kPeerSlotsOffset = kPeerMailboxOffset + 2 * kPeerMailboxSetBytes;
constexpr size_t peer_staging_offset(size_t slot_bytes) { return kPeerSlotsOffset + 2 * slot_bytes; }
constexpr size_t peer_region_bytes(size_t slot_bytes) { return kPeerSlotsOffset + 3 * slot_bytes; }

}  // namespace lockstep::cuda
