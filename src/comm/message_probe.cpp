#include "comm/message_probe.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "base/error.h"

namespace lockstep {
namespace {

constexpr int kTag = 30000;  // World::phase uses lower ones; MPI guarantees tags up to 32767
constexpr int kOutcomeTag = 30001;
constexpr int kMessages = 3;
constexpr int kPings = 12;
constexpr int kLinkBytes = 4 << 20;
constexpr int kLinkMessages = 4;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double wall_clock() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Memory that messages under way may still touch after their wait was given up. Freed only where all went well: otherwise the
// process is about to end.
template <typename T>
class MessageBuffer {
 public:
  explicit MessageBuffer(size_t count) : data_(std::make_unique<T[]>(count)), exceptions_(std::uncaught_exceptions()) {}
  ~MessageBuffer() {
    if (std::uncaught_exceptions() > exceptions_) static_cast<void>(data_.release());
  }
  MessageBuffer(const MessageBuffer&) = delete;
  MessageBuffer& operator=(const MessageBuffer&) = delete;
  T* data() { return data_.get(); }
  T& operator[](size_t i) { return data_[i]; }

 private:
  std::unique_ptr<T[]> data_;
  int exceptions_;
};

void send(const World& world, void* data, int bytes, int to, const std::string& what, int tag = kTag) {
  MPI_Request request = MPI_REQUEST_NULL;
  World::check_mpi(MPI_Isend(data, bytes, MPI_BYTE, to, tag, world.comm(), &request), what.c_str());
  world.wait(request, what.c_str());
}

void receive(const World& world, void* data, int bytes, int from, const std::string& what, int tag = kTag) {
  MPI_Request request = MPI_REQUEST_NULL;
  World::check_mpi(MPI_Irecv(data, bytes, MPI_BYTE, from, tag, world.comm(), &request), what.c_str());
  world.wait(request, what.c_str());
}

}  // namespace

void exchange_with_all(const World& world) {
  const int n = world.size(), me = world.rank();
  for (int step = 1; step < n; ++step) {
    const int to = (me + step) % n, from = (me - step + n) % n;
    MessageBuffer<std::array<int64_t, 3>> out(kMessages), in(kMessages);
    std::array<MPI_Request, 2 * kMessages> requests{};
    for (int i = 0; i < kMessages; ++i) {
      const auto at = static_cast<size_t>(i);
      out[at] = {me, to, i};
      World::check_mpi(MPI_Irecv(&in[at], sizeof(in[at]), MPI_BYTE, from, kTag, world.comm(), &requests[at]),
                       "messages between ranks");
    }
    for (int i = 0; i < kMessages; ++i) {
      const auto at = static_cast<size_t>(i);
      World::check_mpi(MPI_Isend(&out[at], sizeof(out[at]), MPI_BYTE, to, kTag, world.comm(), &requests[kMessages + at]),
                       "messages between ranks");
    }
    const std::string receiving = "a message of " + world.name_of(from), sending = "a message to " + world.name_of(to);
    for (size_t i = 0; i < requests.size(); ++i) world.wait(requests[i], (i < kMessages ? receiving : sending).c_str());
    for (int i = 0; i < kMessages; ++i) {
      const auto& message = in[static_cast<size_t>(i)];
      check(message[0] == from && message[1] == me && message[2] == i,
            "{} expected message {} of {}, but got message {} from rank {} to rank {}: the network or the MPI library mixes "
            "messages up",
            world.name_of(me), i, world.name_of(from), message[2], message[0], message[1]);
    }
  }
}

bool share_outcome(World& world, const std::string& mine, std::vector<std::string>& outcomes) {
  constexpr size_t kMost = 2000;              // of a text
  constexpr Seconds kPatienceForOthers{1.0};  // once one has not come in time
  static constexpr char kVerdicts[2] = {0, 1};
  outcomes.assign(static_cast<size_t>(world.size()), "");
  outcomes[static_cast<size_t>(world.rank())] = mine;
  if (!world.is_root()) {
    try {
      MessageBuffer<char> text(kMost), verdict(1);
      mine.copy(text.data(), kMost - 1);
      send(world, text.data(), kMost, 0, "the outcome", kOutcomeTag);
      receive(world, verdict.data(), 1, 0, "rank 0's verdict", kOutcomeTag);
      return verdict[0] == kVerdicts[1];
    } catch (const Error&) {
      return false;
    }
  }
  const Seconds timeout = world.timeout();
  bool well = mine.empty();
  for (int r = 1; r < world.size(); ++r) {
    std::string& outcome = outcomes[static_cast<size_t>(r)];
    try {
      MessageBuffer<char> text(kMost);
      receive(world, text.data(), kMost, r, "the outcome", kOutcomeTag);
      outcome = text.data();
    } catch (const Error&) {
      outcome = "does not answer: dead, stopped, stuck or unreachable";
      world.set_timeout(std::min(timeout, kPatienceForOthers));
    }
    well = well && outcome.empty();
  }
  world.set_timeout(timeout);
  for (int r = 1; r < world.size(); ++r) {
    MPI_Request request = MPI_REQUEST_NULL;  // nobody waits for the verdict of one that is not there
    World::check_mpi(MPI_Isend(&kVerdicts[well ? 1 : 0], 1, MPI_BYTE, r, kOutcomeTag, world.comm(), &request), "the verdict");
    MPI_Request_free(&request);
  }
  return well;
}

std::vector<PeerTiming> time_peers(const World& world) {
  std::vector<PeerTiming> timings;
  if (!world.is_root()) {
    MessageBuffer<double> clock(1);
    for (int i = 0; i < kPings; ++i) {
      receive(world, clock.data(), sizeof(double), 0, "a ping of rank 0");
      clock[0] = wall_clock();
      send(world, clock.data(), sizeof(double), 0, "the answer to a ping of rank 0");
    }
    return timings;
  }
  timings.resize(static_cast<size_t>(world.size()));
  MessageBuffer<double> clock(1);
  for (int r = 1; r < world.size(); ++r) {
    PeerTiming& best = timings[static_cast<size_t>(r)];
    best.round_trip_s = std::numeric_limits<double>::max();
    const std::string what = "the answer of " + world.name_of(r) + " to a ping";
    for (int i = 0; i < kPings; ++i) {
      const auto start = Clock::now();
      const double before = wall_clock();
      send(world, clock.data(), sizeof(double), r, what);
      receive(world, clock.data(), sizeof(double), r, what);
      const double round_trip = seconds_since(start);
      if (round_trip < best.round_trip_s) best = {round_trip, clock[0] - (before + round_trip / 2)};
    }
  }
  return timings;
}

std::vector<double> measure_host_links(const World& world) {
  std::vector<double> rates;
  const auto is_first_of_host = [&](int rank) {
    for (int r = 0; r < rank; ++r) {
      if (world.host_of(r) == world.host_of(rank)) return false;
    }
    return true;
  };
  MessageBuffer<char> data(kLinkBytes);
  if (!world.is_root()) {
    if (!is_first_of_host(world.rank())) return rates;
    for (int i = 0; i <= kLinkMessages; ++i) {
      receive(world, data.data(), kLinkBytes, 0, "a large message of rank 0");
      send(world, data.data(), 1, 0, "its confirmation");
    }
    return rates;
  }
  rates.resize(static_cast<size_t>(world.size()));
  for (int r = 1; r < world.size(); ++r) {
    if (!is_first_of_host(r)) continue;
    double best = std::numeric_limits<double>::max();
    for (int i = 0; i <= kLinkMessages; ++i) {  // the first is for warming up
      const auto start = Clock::now();
      send(world, data.data(), kLinkBytes, r, "a large message to " + world.name_of(r));
      receive(world, data.data(), 1, r, "the confirmation of " + world.name_of(r));
      if (i > 0) best = std::min(best, seconds_since(start));
    }
    rates[static_cast<size_t>(r)] = kLinkBytes / best;
  }
  return rates;
}

}  // namespace lockstep
