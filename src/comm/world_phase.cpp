// World::phase: how the ranks agree on the outcome of a step of the start-up. Point-to-point messages instead of a collective,
// because rank 0 must be able to tell who is missing, and because a message that nobody comes for can be withdrawn.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/error.h"
#include "comm/backoff.h"
#include "comm/world.h"

namespace lockstep {
namespace {

// A rank that failed waits this long for the others, in case they failed alike, before it leaves with its own exception.
constexpr Seconds kPatienceOfFailed{5.0};
constexpr int kFirstTag = 100;
constexpr int kTags = 10000;  // MPI guarantees tags up to 32767

// Messages of one phase. A receive that is still open at the end is withdrawn.
class Messages {
 public:
  ~Messages() {
    for (MPI_Request& r : receives_) {
      if (r == MPI_REQUEST_NULL) continue;
      MPI_Cancel(&r);
      MPI_Wait(&r, MPI_STATUS_IGNORE);
    }
  }
  void receive(int64_t* value, int count, int from, int tag, MPI_Comm comm) {
    receives_.push_back(MPI_REQUEST_NULL);
    World::check_mpi(MPI_Irecv(value, count, MPI_INT64_T, from, tag, comm, &receives_.back()), "phase");
  }
  // True when the i-th receive is complete.
  bool arrived(size_t i) {
    int done = 0;
    World::check_mpi(MPI_Test(&receives_[i], &done, MPI_STATUS_IGNORE), "phase");
    return done != 0;
  }

 private:
  std::vector<MPI_Request> receives_;
};

}  // namespace

struct World::Verdict {
  int64_t lowest_failed = -1;  // -1: nobody
  int64_t failures = 0;
  bool known = false;  // false: this rank failed, and the others did not come in time to agree
};

void World::phase(const char* name, const std::function<void()>& body) const {
  std::exception_ptr error;
  std::string message;
  bool printed = false;
  try {
    body();
  } catch (const PhaseFailed& inner) {
    error = std::current_exception();
    message = inner.what();
    printed = true;  // by an inner phase, or known to all
  } catch (const std::exception& e) {
    error = std::current_exception();
    message = e.what();
  } catch (...) {
    error = std::current_exception();
    message = "unknown exception";
  }
  const int tag = kFirstTag + 2 * (phase_number_++ % kTags);
  const bool failed = error != nullptr;
  const Verdict verdict = is_root() ? collect_states(name, failed, tag) : await_verdict(name, failed, tag);
  if (!verdict.known) std::rethrow_exception(error);
  if (verdict.lowest_failed < 0) return;
  const int64_t others = verdict.failures - 1;
  if (!printed) {
    message = others == 0 ? fmt::format("{}: {}", name, message)
                          : fmt::format("{}: {} ({} other rank{} failed too)", name, message, others, others == 1 ? "" : "s");
  }
  if (!owns_mpi_) throw PhaseFailed(printed ? message : share_failure(verdict.lowest_failed, message));
  if (verdict.lowest_failed == rank_ && !printed) print_error(message);
  throw PhaseFailed();
}

std::string World::share_failure(int64_t failed_rank, const std::string& message) const {
  const std::string text = all_gather(message, "the message of a failure")[static_cast<size_t>(failed_rank)];
  return size_ == 1 ? text : fmt::format("{}: {}", name_of(static_cast<int>(failed_rank)), text);
}

World::Verdict World::collect_states(const char* name, bool failed, int tag) const {
  Verdict verdict;
  verdict.known = true;
  if (failed) verdict = {0, 1, true};
  std::vector<int64_t> states(static_cast<size_t>(size_), 0);
  std::vector<bool> here(static_cast<size_t>(size_), false);
  Messages messages;
  for (int r = 1; r < size_; ++r) messages.receive(&states[static_cast<size_t>(r)], 1, r, tag, comm_);

  int missing = size_ - 1;
  Backoff backoff(cores_are_scarce_);
  while (missing > 0) {
    for (int r = 1; r < size_; ++r) {
      if (here[static_cast<size_t>(r)] || !messages.arrived(static_cast<size_t>(r - 1))) continue;
      here[static_cast<size_t>(r)] = true;
      --missing;
    }
    if (missing == 0) break;
    if (failed && backoff.elapsed() > kPatienceOfFailed) {
      verdict.known = false;
      return verdict;
    }
    if (backoff.elapsed() > timeout_) {
      std::string names;
      for (int r = 1; r < size_; ++r) {
        if (!here[static_cast<size_t>(r)]) names += (names.empty() ? "" : ", ") + name_of(r);
      }
      fail("{}: {} did not arrive within {:.1f} s", name, names, Seconds(backoff.elapsed()).count());
    }
    backoff.pause();
  }
  for (int r = 1; r < size_; ++r) {
    if (states[static_cast<size_t>(r)] == 0) continue;
    if (verdict.lowest_failed < 0) verdict.lowest_failed = r;
    ++verdict.failures;
  }
  // Few bytes to a rank that waits for them: a blocking send returns at once.
  const std::array<int64_t, 2> answer{verdict.lowest_failed, verdict.failures};
  for (int r = 1; r < size_; ++r) check_mpi(MPI_Send(answer.data(), 2, MPI_INT64_T, r, tag + 1, comm_), name);
  return verdict;
}

World::Verdict World::await_verdict(const char* name, bool failed, int tag) const {
  std::array<int64_t, 2> answer{};
  const int64_t state = failed ? 1 : 0;
  Messages messages;
  messages.receive(answer.data(), 2, 0, tag + 1, comm_);
  check_mpi(MPI_Send(&state, 1, MPI_INT64_T, 0, tag, comm_), name);

  // Rank 0 knows who is missing, so that it should be the first whose patience ends, and then one after the other: one is to
  // speak.
  const Seconds limit = timeout_ + Seconds(1.0 + 0.3 * std::min(rank_ - 1, 5));
  Backoff backoff(cores_are_scarce_);
  while (!messages.arrived(0)) {
    if (failed && backoff.elapsed() > kPatienceOfFailed) return {};
    if (backoff.elapsed() > limit) {
      fail("{}: {} waited {:.1f} s for {} or for a rank that it waits for", name, name_of(rank_),
           Seconds(backoff.elapsed()).count(), name_of(0));
    }
    backoff.pause();
  }
  return {answer[0], answer[1], true};
}

}  // namespace lockstep
