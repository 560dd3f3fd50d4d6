#include "comm/node_exchange.h"

#include <algorithm>
#include <climits>
#include <cstring>

#include "base/error.h"
#include "comm/collective_log.h"
#include "comm/rank_sum.h"

namespace lockstep {
namespace {

// Up to here every host sends all it has to every other: one message's latency instead of two.
constexpr int64_t kSmallCount = 8192;
// Elements that go through one exchange, so that MPI's counts stay within int.
constexpr int64_t kPiece = int64_t{1} << 26;
constexpr int64_t kPlaceFloats = sizeof(uint64_t) / sizeof(float);

}  // namespace

NodeExchange::NodeExchange(const World& world, const std::vector<int>& node_of, bool leader) : world_(world) {
  world.barrier("communicator of the hosts: start");  // MPI_Comm_split has no deadline of its own
  std::vector<int> nodes = node_of;
  std::sort(nodes.begin(), nodes.end());
  size_ = static_cast<int>(std::unique(nodes.begin(), nodes.end()) - nodes.begin());
  World::check_mpi(MPI_Comm_split(world.comm(), leader ? 0 : MPI_UNDEFINED, world.rank(), &comm_), "MPI_Comm_split");
  if (!leader) return;
  for (int r = 0; r < world.size(); ++r) {  // the first rank of each host, in order
    const auto first = std::find(node_of.begin(), node_of.begin() + r, node_of[static_cast<size_t>(r)]);
    if (first == node_of.begin() + r) leaders_.push_back(r);
  }
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &index_);
}

NodeExchange::~NodeExchange() {
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
}

void NodeExchange::check_places(const std::byte* places, size_t stride) const {
  std::string elsewhere;
  for (size_t h = 0; h < leaders_.size(); ++h) {
    uint64_t place = 0;
    std::memcpy(&place, places + h * stride, sizeof(place));
    if (place == position_) continue;
    elsewhere += fmt::format("{}{}: {}", elsewhere.empty() ? "" : "; ", world_.name_of(leaders_[h]),
                             CollectivePosition::unpacked(place).text());
  }
  if (elsewhere.empty()) [[likely]]
    return;
  fail("the ranks are not in the same collective, one of them has skipped or repeated one: {}; {}: {}", elsewhere,
       world_.name_of(world_.rank()), CollectivePosition::unpacked(position_).text());
}

void NodeExchange::sum(std::vector<float>& data) {
  constexpr const char* kWhat = "all_reduce between hosts";
  const auto hosts = static_cast<int64_t>(size_);
  MPI_Request request = MPI_REQUEST_NULL;
  std::vector<const void*> parts(static_cast<size_t>(size_));
  for (int64_t begin = 0; begin < static_cast<int64_t>(data.size()); begin += kPiece) {
    const int64_t count = std::min(kPiece, static_cast<int64_t>(data.size()) - begin);
    float* const piece = data.data() + begin;
    if (count <= kSmallCount) {
      const int64_t stride = count + kPlaceFloats;  // the position goes along
      sent_.assign(piece, piece + count);
      sent_.resize(static_cast<size_t>(stride));
      std::memcpy(sent_.data() + count, &position_, sizeof(position_));
      received_.assign(static_cast<size_t>(hosts * stride), 0.0f);
      const int n = static_cast<int>(stride);
      World::check_mpi(MPI_Iallgather(sent_.data(), n, MPI_FLOAT, received_.data(), n, MPI_FLOAT, comm_, &request), kWhat);
      world_.wait(request, kWhat);
      check_places(reinterpret_cast<const std::byte*>(received_.data() + count), static_cast<size_t>(stride) * sizeof(float));
      for (int64_t h = 0; h < hosts; ++h) parts[static_cast<size_t>(h)] = received_.data() + h * stride;
      sum_in_order(piece, DType::kFloat32, parts, DType::kFloat32, count);
      continue;
    }
    std::vector<uint64_t> all_places(parts.size());
    World::check_mpi(MPI_Iallgather(&position_, 1, MPI_UINT64_T, all_places.data(), 1, MPI_UINT64_T, comm_, &request), kWhat);
    world_.wait(request, kWhat);
    check_places(reinterpret_cast<const std::byte*>(all_places.data()), sizeof(uint64_t));
    // Host h sums the slice [h * slice, (h + 1) * slice), cut at count.
    const int64_t slice = (count + hosts - 1) / hosts;
    std::vector<int> lengths(parts.size()), offsets(parts.size()), mine(parts.size()), places(parts.size());
    for (int64_t h = 0; h < hosts; ++h) {
      const auto i = static_cast<size_t>(h);
      offsets[i] = static_cast<int>(std::min(h * slice, count));
      lengths[i] = static_cast<int>(std::min((h + 1) * slice, count)) - offsets[i];
    }
    const int own = lengths[static_cast<size_t>(index_)];
    for (int64_t h = 0; h < hosts; ++h) {
      mine[static_cast<size_t>(h)] = own;
      places[static_cast<size_t>(h)] = static_cast<int>(h) * own;
    }
    received_.resize(static_cast<size_t>(hosts * own));
    World::check_mpi(MPI_Ialltoallv(piece, lengths.data(), offsets.data(), MPI_FLOAT, received_.data(), mine.data(),
                                    places.data(), MPI_FLOAT, comm_, &request),
                     kWhat);
    world_.wait(request, kWhat);
    for (int64_t h = 0; h < hosts; ++h) parts[static_cast<size_t>(h)] = received_.data() + h * own;
    std::vector<float> summed(static_cast<size_t>(own));
    sum_in_order(summed.data(), DType::kFloat32, parts, DType::kFloat32, own);
    World::check_mpi(
        MPI_Iallgatherv(summed.data(), own, MPI_FLOAT, piece, lengths.data(), offsets.data(), MPI_FLOAT, comm_, &request), kWhat);
    world_.wait(request, kWhat);
  }
}

std::vector<std::byte> NodeExchange::all_gather(const std::vector<std::byte>& mine, const std::vector<size_t>& lengths) {
  constexpr const char* kWhat = "all_gather between hosts";
  std::vector<uint64_t> places(lengths.size());
  MPI_Request request = MPI_REQUEST_NULL, place_request = MPI_REQUEST_NULL;
  World::check_mpi(MPI_Iallgather(&position_, 1, MPI_UINT64_T, places.data(), 1, MPI_UINT64_T, comm_, &place_request), kWhat);
  std::vector<int> counts, offsets;
  size_t total = 0;
  for (const size_t n : lengths) {
    offsets.push_back(static_cast<int>(total));
    counts.push_back(static_cast<int>(n));
    total += n;
    check(total < INT_MAX, "{}: {} bytes are too many for one call", kWhat, total);
  }
  std::vector<std::byte> all(total);
  World::check_mpi(MPI_Iallgatherv(mine.data(), static_cast<int>(mine.size()), MPI_BYTE, all.data(), counts.data(),
                                   offsets.data(), MPI_BYTE, comm_, &request),
                   kWhat);
  world_.wait(place_request, kWhat);  // both are under way at once
  world_.wait(request, kWhat);
  check_places(reinterpret_cast<const std::byte*>(places.data()), sizeof(uint64_t));
  return all;
}

}  // namespace lockstep
