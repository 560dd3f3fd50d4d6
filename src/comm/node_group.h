// NodeGroup: the ranks of one host with their shared-memory segment: a few rotating slots per rank for data and a TickBoard.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "comm/shared_memory.h"
#include "comm/tick_board.h"
#include "comm/world.h"

namespace lockstep {

// Protocol. Every rank of the group goes through the same sequence of uses; in use u it may write its slot u modulo kSlots, then
// calls publish(), and reads the others' slots of that use only after wait() for the tick of its own publish(). With kSlots = 3,
// a rank may write the slot of the use after next before it waits for anything of the next; see HostCommunicator for why nobody
// still reads it.
class NodeGroup {
 public:
  static constexpr int kSlots = 3;

  // Collective over `world`. node_of: by world rank, some number that the ranks of one host share. slot_bytes is rounded up to
  // pages. Throws the same Error on every rank if any of them cannot get its memory.
  NodeGroup(const World& world, const std::vector<int>& node_of, size_t slot_bytes);

  int size() const { return static_cast<int>(ranks_.size()); }
  int index() const { return index_; }                      // of this rank within the group
  const std::vector<int>& ranks() const { return ranks_; }  // world ranks, ascending; the first is the leader
  bool is_leader() const { return index_ == 0; }
  size_t slot_bytes() const { return slot_bytes_; }

  // The next use: all slots of rank i of the group are at slot(i) until the next call.
  void next_use() { use_ = (use_ + 1) % kSlots; }
  int use() const { return use_; }
  std::byte* slot(int i) const { return slot(i, use_); }
  std::byte* slot(int i, int use) const;

  // The uses from here on belong to this collective (CollectivePosition::packed()), on every rank of the group.
  void begin_collective(uint64_t position) { board_.begin_collective(position); }
  uint32_t publish() { return board_.publish(); }
  // Throws Error naming the rank that did not come within world.timeout(), or that is in another collective; PeerAborted where
  // another rank of the host has given up.
  void wait(int i, uint32_t tick, const char* what) const;
  void wait_all(uint32_t tick, const char* what) const;
  void abort() noexcept { board_.abort(); }

 private:
  std::string whereabouts(uint32_t tick) const;  // of every rank of the group, when it published this tick

  const World& world_;
  std::vector<int> ranks_;
  int index_ = 0;
  size_t slot_bytes_ = 0;
  size_t board_bytes_ = 0;
  SharedMemory memory_;
  TickBoard board_;
  int use_ = 0;
};

}  // namespace lockstep
