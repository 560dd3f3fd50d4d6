// RollCall: asks every rank where it is when the work stands still, so that the one that is missing or behind can be named. A
// thread of each rank answers, over a communicator of their own: a rank whose main thread is stuck still answers, one that is
// dead, stopped or unreachable does not.
#pragma once

#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace lockstep {

// What a rank says of itself.
struct RankStatus {
  int64_t position = 0;  // collectives begun: comparable between the ranks
  std::string text;      // cut to what a message holds
  // In which share of looks, since its step began, the rank was found waiting for others; negative: not known.
  double waiting = -1.0;
};

class RollCall {
 public:
  enum class Urgency : int64_t {
    kCurious,   // only wants to know
    kGivingUp,  // is about to end the job
  };
  // How long ask() waits for an answer.
  static constexpr std::chrono::milliseconds kPatience{1200};
  using ByRank = std::vector<std::optional<RankStatus>>;  // nothing: no answer

  // Takes over `comm`, on which nothing else is sent. own_status is called by any thread; on_urgent by the thread that answers,
  // with the rank that is about to give up.
  RollCall(MPI_Comm comm, std::function<RankStatus()> own_status, std::function<void(int rank)> on_urgent);
  ~RollCall();
  RollCall(const RollCall&) = delete;
  RollCall& operator=(const RollCall&) = delete;

  // Asks all others until all have answered or kPatience is over, and answers meanwhile. Any thread.
  ByRank ask(Urgency urgency);

  // "missing: rank 1 on a; behind: rank 2 on b (step 3, …)", or that all are at the same place. Ranks are behind that have begun
  // fewer collectives than the farthest; where most are, those that are ahead of them are named first, unless it is seen that all
  // of them but one wait for that one. A single rank that hardly waited, while all others hardly did anything else, is slow
  // wherever it may be when it answers.
  static std::string describe(const ByRank& by_rank, const std::function<std::string(int rank)>& name_of);

 private:
  struct Message;

  std::optional<int> answer();  // all who ask; the lowest of those who are giving up
  bool receive(int tag, Message& message, int& from);
  // Starts a send and forgets it: who does not take it is why we ask.
  void send(const Message& message, int to, int tag);
  Message own_message() const;
  static RankStatus status_in(const Message& message);

  MPI_Comm comm_;
  int rank_ = 0, size_ = 1;
  const std::function<RankStatus()> own_status_;
  const std::function<void(int)> on_urgent_;
  std::mutex asking_;
  std::chrono::steady_clock::time_point asked_;  // last
  std::vector<bool> silent_;                     // by rank, then; nobody has asked yet: empty
  std::mutex sent_mutex_;
  std::vector<std::shared_ptr<Message>> sent_;  // MPI may read them until the end
  std::jthread thread_;                         // last: it uses the others
};

}  // namespace lockstep
