// Questions to the control plane itself: does every rank reach every other, in order, how long does a message take, how far apart
// are the clocks. For `lockstep doctor`.
#pragma once

#include <string>
#include <vector>

#include "comm/world.h"

namespace lockstep {

// Collective. Every rank exchanges a few numbered messages with every other, in size() - 1 rounds. Throws Error naming the peer
// that did not answer within the world's timeout, or whose messages came out of order or changed.
void exchange_with_all(const World& world);

// Collective. What became of a step in which ranks may fail, and may leave collectives unfinished: it uses none, only messages
// between rank 0 and each other rank. mine: empty when all went well here. Returns whether all went well everywhere, the same on
// every rank that can be reached; on rank 0 `outcomes` gets everybody's text, of a rank that does not come within the timeout one
// that says so.
bool share_outcome(World& world, const std::string& mine, std::vector<std::string>& outcomes);

struct PeerTiming {
  double round_trip_s = 0.0;    // of a small message to rank 0 and back, the least of several
  double clock_offset_s = 0.0;  // how far this rank's clock is ahead of rank 0's; uncertain by half the round trip
};

// Collective. By rank, on rank 0; its own entry is zeros. Elsewhere empty.
std::vector<PeerTiming> time_peers(const World& world);

// Collective. Bytes/s between rank 0 and the lowest rank of each other host, one after the other; by rank, on rank 0 (zeros for
// the rest). Elsewhere empty.
std::vector<double> measure_host_links(const World& world);

}  // namespace lockstep
