#include "comm/node_group.h"

#include <unistd.h>

#include "base/error.h"
#include "comm/agree.h"

namespace lockstep {
namespace {

size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

NodeGroup::NodeGroup(const World& world, const std::vector<int>& node_of, size_t slot_bytes) : world_(world) {
  const int node = node_of[static_cast<size_t>(world.rank())];
  for (int r = 0; r < world.size(); ++r) {
    if (node_of[static_cast<size_t>(r)] != node) continue;
    if (r == world.rank()) index_ = size();
    ranks_.push_back(r);
  }
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  slot_bytes_ = round_up(slot_bytes, page);
  board_bytes_ = round_up(TickBoard::bytes_needed(size()), page);
  const size_t rank_bytes = slot_bytes_ * kSlots;
  const size_t total = board_bytes_ + rank_bytes * ranks_.size();

  // Everybody is here before the segment gets its name, so that the name lives for moments only.
  world.barrier("shared memory: start");
  agree(world, "shared memory: create", [&] {
    if (is_leader()) memory_ = SharedMemory::create(total);
  });
  const auto names = world.all_gather(is_leader() ? memory_.name() : "", "shared memory: exchange of names");
  agree(world, "shared memory: attach", [&] {
    if (!is_leader()) memory_ = SharedMemory::attach(names[static_cast<size_t>(ranks_[0])], total);
    if (is_leader()) memory_.reserve(0, board_bytes_);
    memory_.reserve(board_bytes_ + rank_bytes * static_cast<size_t>(index_), rank_bytes);
  });
  memory_.remove_name();
  board_ = TickBoard(memory_.data(), index_);
}

std::byte* NodeGroup::slot(int i, int use) const {
  const auto offset = static_cast<size_t>(i) * kSlots + static_cast<size_t>(use);
  return memory_.data() + board_bytes_ + offset * slot_bytes_;
}

void NodeGroup::wait(int i, uint32_t tick, const char* what) const {
  TickBoard::WaitPolicy policy;
  policy.timeout_s = world_.timeout().count();
  if (world_.cores_are_scarce()) {
    policy.spin_us = 0.0;
    policy.yield_us = 20.0;
  }
  const auto outcome = board_.wait(i, tick, policy);
  if (outcome == TickBoard::Outcome::kArrived) [[likely]]
    return;
  const std::string peer = world_.name_of(ranks_[static_cast<size_t>(i)]);
  check(outcome != TickBoard::Outcome::kAborted, "{}: given up: another rank of this host aborted", what);
  fail("{}: {} waited {:.1f} s for {}, which may be dead, stopped or far behind", what, world_.name_of(world_.rank()),
       world_.timeout().count(), peer);
}

void NodeGroup::wait_all(uint32_t tick, const char* what) const {
  for (int i = 0; i < size(); ++i) {
    if (i != index_) wait(i, tick, what);
  }
}

}  // namespace lockstep
