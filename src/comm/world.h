// World: the MPI processes of the job: who we are, where, and the control plane (everything that is not tensor data).
// Every wait has a deadline.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/roll_call.h"

namespace lockstep {

using Seconds = std::chrono::duration<double>;

class World {
 public:
  // MPI_Init_thread and MPI_Comm_split_type. Throws Error if the launcher promised another number of ranks than MPI gives
  // (N separate one-rank worlds). Works with no launcher at all as a world of one.
  World(int& argc, char**& argv);
  // The ranks of an application's communicator, of which a duplicate is taken: collective. MPI is the application's to initialise
  // and to finalize; this world must end before it does. Nothing is printed: see phase().
  explicit World(MPI_Comm application);
  // MPI_Finalize where the world has initialised MPI, unless an exception is in flight in a world of several: then the caller
  // aborts.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }  // among the ranks of this host
  int local_size() const { return local_size_; }
  const std::string& host() const { return host_; }
  MPI_Comm comm() const { return comm_; }
  MPI_Comm local_comm() const { return local_comm_; }
  bool is_root() const { return rank_ == 0; }
  // Collective. The ranks that pass the same color, in the order of their ranks here, as a world of their own with this one's
  // present deadline; it must end before this one. name_of() goes by rank in the part, but says the rank of the job. A part
  // answers no roll call, so that whoever waits there in vain cannot say for whom.
  std::unique_ptr<World> part(int color) const;
  // All that the launcher started; else the ranks of an application's communicator.
  bool is_whole_job() const { return owns_mpi_; }
  // "rank 2 on node17", for messages.
  std::string name_of(int rank) const;
  const std::string& host_of(int rank) const { return hosts_.at(static_cast<size_t>(rank)); }
  // Some ranks of this host share a core, so that a waiting rank must not spin.
  bool cores_are_scarce() const { return cores_are_scarce_; }

  void set_timeout(Seconds timeout) { timeout_ = timeout; }
  Seconds timeout() const { return timeout_; }

  // Waits for a nonblocking operation, first spinning, then yielding and sleeping so that no core that a peer needs is burnt.
  // Throws Error "rank R on H waited S s for WHAT" past the deadline. idle: no deadline (a follower waiting for work).
  void wait(MPI_Request& request, const char* what, bool idle = false) const;
  // Whether a thread is in wait(), now. Any thread.
  bool is_waiting() const { return waiting_ > 0; }

  void barrier(const char* what) const;
  // Root's bytes to all. `idle`: followers wait without a deadline.
  void broadcast(std::vector<std::byte>& bytes, const char* what, bool idle = false) const;
  std::string broadcast(const std::string& text, const char* what) const;
  // Everybody's string, by rank, on every rank.
  std::vector<std::string> all_gather(const std::string& mine, const char* what) const;
  int64_t all_min(int64_t value, const char* what) const;
  int64_t all_max(int64_t value, const char* what) const;

  // Runs `body` on every rank and makes the ranks agree on the outcome: if it threw anywhere, every rank throws PhaseFailed, and
  // the message is printed once, by the lowest rank that failed, with rank and host (only once if all ranks failed alike). A rank
  // that never arrives is named after the timeout, in an Error; if a rank failed and the others do not arrive within a few
  // seconds, its own exception leaves phase() there, for the caller to abort with. Collectives inside `body` are allowed.
  // In a world of an application nothing is printed: the message is PhaseFailed's, on every rank.
  void phase(const char* name, const std::function<void()>& body) const;

  // Throws the same Error on every rank, naming the ranks that differ from rank 0 and both values, unless all ranks pass the same
  // string. Inside a phase() it is printed once.
  void require_same(const char* what, const std::string& value) const;

  // Prints `message` with rank and host, then ends every rank with this exit code, at once. Never returns.
  // Thread-safe. Of several ranks that abort at about the same time, the lowest speaks first and ends the others.
  // The line also says the process id, the device, and what set_status() gives. `before_end` runs after the message.
  [[noreturn]] void abort(const std::string& message, int exit_code = 1,
                          const std::function<void()>& before_end = {}) const noexcept;
  // For a rank that knows that another one is about to abort and to say why: waits for that, and ends by itself if it does not
  // come.
  [[noreturn]] void await_abort() const noexcept;

  // For the lines above. `status` is called by whatever thread aborts; empty: nothing to say.
  void set_device(const std::string& device) const;
  void set_status(std::function<RankStatus()> status) const;
  // Asks all others; true where each of them answers.
  bool everybody_answers() const;
  // Asks all others, for the error of a rank that has waited in vain: "missing: rank 1 on node17, which may be ..." and the like.
  std::string who_is_missing() const;
  // For a rank that has waited in vain: asks the others where they are, and aborts with `message` and who is missing or behind.
  // Of several ranks that give up, and of all that still answer, the lowest speaks.
  [[noreturn]] void give_up(const std::string& message, const std::function<void()>& before_end = {}) const noexcept;

  // What is wrong with MPI_COMM_WORLD, by what the launcher promised; empty: nothing.
  static std::string launcher_problem();
  // Throws Error with MPI's text unless `status` is MPI_SUCCESS.
  static void check_mpi(int status, const char* what);

 private:
  World(const World& whole, int color);  // part()
  void join(MPI_Comm all);
  void free_communicators();
  // Of several MPI processes, what the one says that failed; collective.
  std::string share_failure(int64_t failed_rank, const std::string& message) const;
  // Starts a nonblocking operation and waits. `buffers` must keep alive what it reads and writes: an operation that was given up
  // at its deadline may still touch them until MPI_Finalize.
  void run(const std::shared_ptr<void>& buffers, const char* what, bool idle,
           const std::function<int(MPI_Request*)>& start) const;
  int64_t all_reduce(int64_t value, MPI_Op op, const char* what) const;
  void print_error(const std::string& message) const noexcept;
  RankStatus own_status() const;
  std::string whereabouts() const;
  // The two halves of phase(): rank 0 collects everybody's state, the others wait for its verdict.
  struct Verdict;
  Verdict collect_states(const char* name, bool failed, int tag) const;
  Verdict await_verdict(const char* name, bool failed, int tag) const;

  const bool owns_mpi_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  MPI_Comm local_comm_ = MPI_COMM_NULL;
  MPI_Comm watch_comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::string host_;
  std::vector<std::string> hosts_;  // by rank
  std::vector<int> numbers_;        // by rank of a part: the rank of the job; else empty
  bool cores_are_scarce_ = false;
  Seconds timeout_{300.0};
  int exceptions_at_start_ = 0;
  mutable int phase_number_ = 0;
  mutable std::vector<std::shared_ptr<void>> abandoned_;  // buffers of operations that passed their deadline
  mutable std::atomic<int> waiting_{0};                   // threads in wait()
  mutable std::atomic_flag aborting_, giving_up_;
  mutable std::timed_mutex status_mutex_;
  mutable std::string device_;
  mutable std::function<RankStatus()> status_;
  std::unique_ptr<RollCall> roll_call_;  // last: its thread uses the others
};

// Another rank has given up and is about to say why and to end the job: leave it to that one (World::await_abort).
class PeerAborted : public Error {
 public:
  PeerAborted() : Error("another rank of this host has given up") {}
};

// All ranks throw it together; the cause has been printed, or is the message. main() turns it into exit code 1 after an orderly
// MPI_Finalize.
class PhaseFailed : public std::exception {
 public:
  PhaseFailed() = default;
  explicit PhaseFailed(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_ = "a start-up phase failed; see the message above";
};

}  // namespace lockstep
