#include "comm/node_group.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/collective_log.h"

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

  memory_ = SharedMemory::share(world, ranks_[0], total);
  agree(world, "shared memory: reserve", [&] {
    if (is_leader()) memory_.reserve(0, board_bytes_);
    memory_.reserve(board_bytes_ + rank_bytes * static_cast<size_t>(index_), rank_bytes);
  });
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
  if (outcome == TickBoard::Outcome::kArrived) [[likely]] {
    if (board_.same_place(i, tick)) [[likely]]
      return;
    fail("the ranks are not in the same collective, one of them has skipped or repeated one: {}", whereabouts(tick));
  }
  const std::string peer = world_.name_of(ranks_[static_cast<size_t>(i)]);
  if (outcome == TickBoard::Outcome::kAborted) throw PeerAborted();
  fail("{}: {} waited {:.1f} s for {}, which may be dead, stopped or far behind", what, world_.name_of(world_.rank()),
       world_.timeout().count(), peer);
}

// "rank 1 on a: step 3, …; rank 0 on a, rank 2 on a: step 3, …": the smallest company first, for it is likely the one in the
// wrong.
std::string NodeGroup::whereabouts(uint32_t tick) const {
  struct Group {
    uint32_t place;  // when they published the tick
    uint64_t now;    // of the first, for the text: it may have gone on a little
    std::vector<int> members;
  };
  std::vector<Group> groups;
  TickBoard::WaitPolicy brief;
  brief.timeout_s = 0.3;
  for (int i = 0; i < size(); ++i) {
    if (i != index_ && board_.wait(i, tick, brief) != TickBoard::Outcome::kArrived) continue;  // too late to be told
    const uint32_t place = board_.place_at(i, tick);
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.place == place; });
    group == groups.end() ? groups.push_back({place, board_.place_of(i), {i}}) : group->members.push_back(i);
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const auto& a, const auto& b) { return a.members.size() < b.members.size(); });
  std::string text;
  for (const Group& group : groups) {
    if (!text.empty()) text += "; ";
    for (size_t k = 0; k < group.members.size(); ++k) {
      text += (k == 0 ? "" : ", ") + world_.name_of(ranks_[static_cast<size_t>(group.members[k])]);
    }
    text += ": " + CollectivePosition::unpacked(group.now).text();
  }
  return text;
}

void NodeGroup::wait_all(uint32_t tick, const char* what) const {
  for (int i = 0; i < size(); ++i) {
    if (i != index_) wait(i, tick, what);
  }
}

}  // namespace lockstep
