#include "comm/host_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "comm/nodes.h"
#include "comm/rank_sum.h"

namespace lockstep {
namespace {

constexpr const char* kAllReduce = "all_reduce";
constexpr const char* kAllGather = "all_gather";

// A rank's slots together stay within a core's cache.
constexpr size_t kMinSlotBytes = size_t{4} << 10, kMaxSlotBytes = size_t{256} << 10;
// Bytes of all ranks together up to which everybody sums everything (one wait) rather than its share (two waits).
constexpr size_t kOneShotBytes = size_t{128} << 10;
// Shares begin at multiples of this many elements: whole cache lines and vectors.
constexpr int64_t kGrain = 32;

}  // namespace

HostCommunicator::HostCommunicator(const World& world, size_t max_all_reduce_bytes, std::optional<int> node)
    : world_(world),
      node_of_(nodes_of_ranks(world, node ? std::to_string(*node) : "")),
      group_(world, node_of_, std::clamp(max_all_reduce_bytes, kMinSlotBytes, kMaxSlotBytes)) {
  if (count_nodes(node_of_) > 1) exchange_ = std::make_unique<NodeExchange>(world, node_of_, group_.is_leader());
}

int64_t HostCommunicator::max_shared_bytes_per_rank() {
  return static_cast<int64_t>(NodeGroup::kSlots * kMaxSlotBytes + TickBoard::bytes_needed(1));
}

std::string HostCommunicator::description() const {
  if (exchange_ == nullptr) return fmt::format("shared memory, {} ranks", size());
  return fmt::format("shared memory within {} ranks of this host, MPI between hosts, {} ranks in all", group_.size(), size());
}

void HostCommunicator::begin_collective() {
  group_.begin_collective(log().current());
  if (exchange_ != nullptr) exchange_->begin_collective(log().current());
}

void HostCommunicator::do_all_reduce(TensorView x) {
  begin_collective();
  if (exchange_ != nullptr) {
    all_reduce_hosts(x.data, x.dtype, x.count());
  } else if (x.bytes() * static_cast<size_t>(size()) <= kOneShotBytes && x.bytes() <= group_.slot_bytes()) {
    all_reduce_one_shot(x.data, x.dtype, x.count());
  } else {
    all_reduce_two_shot(x.data, x.dtype, x.count());
  }
}

// Everybody publishes all it has and sums all slots.
//
// Why no slot is overwritten while somebody reads it: a rank reads the slots of use u before it publishes use u + 1. Who has
// waited for use u + 1 therefore knows that nobody reads use u any more, and writes its slot again in use u + kSlots at the
// earliest.
void HostCommunicator::all_reduce_one_shot(void* x, DType dtype, int64_t count) {
  group_.next_use();
  std::memcpy(group_.slot(group_.index()), x, static_cast<size_t>(count) * size_of(dtype));
  const uint32_t tick = group_.publish();
  group_.wait_all(tick, kAllReduce);
  std::vector<const void*> parts(static_cast<size_t>(group_.size()));
  for (int i = 0; i < group_.size(); ++i) parts[static_cast<size_t>(i)] = i == group_.index() ? x : group_.slot(i);
  sum_in_order(x, dtype, parts, dtype, count);
}

// In chunks of one slot: reduce-scatter (rank i sums share i of all slots into its own slot), then all-gather. The next chunk is
// copied in before the wait for this one, so that ranks that are a little apart do not stop each other.
//
// Why that is safe with three slots: chunk k + 1 overwrites the slot of chunk k - 2, which the others have read to the end before
// they published their share of chunk k - 1, and for that we have waited.
void HostCommunicator::all_reduce_two_shot(void* x, DType dtype, int64_t count) {
  const int ranks = group_.size(), me = group_.index();
  const auto element = static_cast<int64_t>(size_of(dtype));
  const int64_t chunk = static_cast<int64_t>(group_.slot_bytes()) / element;
  auto* const data = static_cast<std::byte*>(x);

  struct Range {
    int64_t begin, end;  // elements within the chunk
    size_t bytes(int64_t element) const { return static_cast<size_t>((end - begin) * element); }
  };
  const auto length_of = [&](int64_t begin) { return std::min(chunk, count - begin); };
  const auto share_of = [&](int i, int64_t length) {
    const int64_t share = ((length + ranks - 1) / ranks + kGrain - 1) / kGrain * kGrain;
    return Range{std::min(i * share, length), std::min((i + 1) * share, length)};
  };
  struct Copied {
    int use;
    uint32_t tick;
  };
  const auto copy_in = [&](int64_t begin) {
    group_.next_use();
    const int64_t length = length_of(begin);
    const Range own = share_of(me, length);  // nobody else reads it
    std::byte* const slot = group_.slot(me);
    const std::byte* const from = data + begin * element;
    std::memcpy(slot, from, static_cast<size_t>(own.begin * element));
    std::memcpy(slot + own.end * element, from + own.end * element, static_cast<size_t>((length - own.end) * element));
    const int use = group_.use();
    return Copied{use, group_.publish()};
  };

  std::vector<const void*> parts(static_cast<size_t>(ranks));
  Copied next = copy_in(0);
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const Copied current = next;
    if (begin + chunk < count) next = copy_in(begin + chunk);
    const int64_t length = length_of(begin);
    std::byte* const to = data + begin * element;

    const Range own = share_of(me, length);
    group_.wait_all(current.tick, kAllReduce);
    for (int i = 0; i < ranks; ++i) {
      const std::byte* const from = i == me ? to : group_.slot(i, current.use);
      parts[static_cast<size_t>(i)] = from + own.begin * element;
    }
    std::byte* const sum = group_.slot(me, current.use) + own.begin * element;
    sum_in_order(sum, dtype, parts, dtype, own.end - own.begin);
    const uint32_t summed = group_.publish();
    std::memcpy(to + own.begin * element, sum, own.bytes(element));

    for (int step = 1; step < ranks; ++step) {  // each rank starts with another peer, so that they do not all read one slot
      const int i = (me + step) % ranks;
      const Range share = share_of(i, length);
      group_.wait(i, summed, kAllReduce);
      std::memcpy(to + share.begin * element, group_.slot(i, current.use) + share.begin * element, share.bytes(element));
    }
  }
}

// The leader of each host sums its ranks in float32, the leaders add these sums, and each spreads the result.
void HostCommunicator::all_reduce_hosts(void* x, DType dtype, int64_t count) {
  const auto element = static_cast<int64_t>(size_of(dtype));
  const int64_t chunk = static_cast<int64_t>(group_.slot_bytes()) / element;
  auto* const data = static_cast<std::byte*>(x);
  if (group_.is_leader()) host_sum_.resize(static_cast<size_t>(count));
  std::vector<const void*> parts(static_cast<size_t>(group_.size()));
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t length = std::min(chunk, count - begin);
    group_.next_use();
    if (!group_.is_leader()) {
      std::memcpy(group_.slot(group_.index()), data + begin * element, static_cast<size_t>(length * element));
    }
    group_.wait_all(group_.publish(), kAllReduce);
    if (!group_.is_leader()) continue;
    parts[0] = data + begin * element;
    for (int i = 1; i < group_.size(); ++i) parts[static_cast<size_t>(i)] = group_.slot(i);
    sum_in_order(host_sum_.data() + begin, DType::kFloat32, parts, dtype, length);
  }
  if (group_.is_leader()) {
    exchange_->sum(host_sum_);
    convert(x, dtype, host_sum_.data(), DType::kFloat32, count);
  }
  spread_from_leader(data, static_cast<size_t>(count * element), kAllReduce);
}

void HostCommunicator::spread_from_leader(std::byte* data, size_t bytes, const char* what) {
  for (size_t begin = 0; begin < bytes; begin += group_.slot_bytes()) {
    const size_t length = std::min(group_.slot_bytes(), bytes - begin);
    group_.next_use();
    if (group_.is_leader()) std::memcpy(group_.slot(0), data + begin, length);
    group_.wait_all(group_.publish(), what);
    if (!group_.is_leader()) std::memcpy(data + begin, group_.slot(0), length);
  }
}

void HostCommunicator::do_all_gather(void* recv, const void* send, size_t bytes) {
  begin_collective();
  auto* const to = static_cast<std::byte*>(recv);
  const auto* const from = static_cast<const std::byte*>(send);
  if (exchange_ != nullptr) return all_gather_hosts(to, from, bytes);
  for (size_t begin = 0; begin < bytes; begin += group_.slot_bytes()) {
    const size_t length = std::min(group_.slot_bytes(), bytes - begin);
    group_.next_use();
    std::memcpy(group_.slot(group_.index()), from + begin, length);
    group_.wait_all(group_.publish(), kAllGather);
    for (int i = 0; i < group_.size(); ++i) std::memcpy(to + static_cast<size_t>(i) * bytes + begin, group_.slot(i), length);
  }
}

void HostCommunicator::all_gather_hosts(std::byte* recv, const std::byte* send, size_t bytes) {
  // To the leader, [ranks of the host, bytes].
  std::vector<std::byte> local(group_.is_leader() ? bytes * static_cast<size_t>(group_.size()) : 0);
  for (size_t begin = 0; begin < bytes; begin += group_.slot_bytes()) {
    const size_t length = std::min(group_.slot_bytes(), bytes - begin);
    group_.next_use();
    std::memcpy(group_.slot(group_.index()), send + begin, length);
    group_.wait_all(group_.publish(), kAllGather);
    if (!group_.is_leader()) continue;
    for (int i = 0; i < group_.size(); ++i)
      std::memcpy(local.data() + static_cast<size_t>(i) * bytes + begin, group_.slot(i), length);
  }
  if (group_.is_leader()) {
    // The hosts in the order of their leaders, and each host's ranks in order.
    std::vector<std::vector<int>> hosts;
    for (int r = 0; r < size(); ++r) {
      const int node = node_of_[static_cast<size_t>(r)];
      const auto same_host = [&](const std::vector<int>& ranks) { return node_of_[static_cast<size_t>(ranks[0])] == node; };
      const auto host = std::find_if(hosts.begin(), hosts.end(), same_host);
      host == hosts.end() ? hosts.push_back({r}) : host->push_back(r);
    }
    std::vector<size_t> lengths;
    for (const auto& ranks : hosts) lengths.push_back(ranks.size() * bytes);
    const std::vector<std::byte> all = exchange_->all_gather(local, lengths);
    const std::byte* from = all.data();
    for (const auto& ranks : hosts) {
      for (const int r : ranks) {
        std::memcpy(recv + static_cast<size_t>(r) * bytes, from, bytes);
        from += bytes;
      }
    }
  }
  spread_from_leader(recv, bytes * static_cast<size_t>(size()), kAllGather);
}

}  // namespace lockstep
