#include "comm/roll_call.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <numeric>
#include <utility>

#include "comm/rank_position.h"

namespace lockstep {
namespace {

constexpr int kQuestion = 1, kAnswer = 2;  // tags
// How often a rank looks for questions, and how long the one that asks waits for answers.
constexpr std::chrono::milliseconds kPeriod{100};
// Who has just been silent is not waited for again where the job is about to end.
constexpr std::chrono::milliseconds kPatienceWithSilent{300}, kMemoryOfSilence{5000};

}  // namespace

struct RollCall::Message {
  int64_t urgency = 0;
  int64_t position = 0;
  double waiting = -1.0;
  std::array<char, 488> text{};
};

RankStatus RollCall::status_in(const Message& message) { return {message.position, message.text.data(), message.waiting}; }

RollCall::RollCall(MPI_Comm comm, std::function<RankStatus()> own_status, std::function<void(int rank)> on_urgent)
    : comm_(comm), own_status_(std::move(own_status)), on_urgent_(std::move(on_urgent)) {
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  if (size_ == 1) return;
  thread_ = std::jthread([this](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    while (!stopped.wait_for(lock, stop, kPeriod, [] { return false; }) && !stop.stop_requested()) {
      if (const auto asker = answer()) on_urgent_(*asker);
    }
  });
}

RollCall::~RollCall() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

RollCall::Message RollCall::own_message() const {
  const RankStatus status = own_status_();
  Message message;
  message.position = status.position;
  message.waiting = status.waiting;
  std::memcpy(message.text.data(), status.text.data(), std::min(status.text.size(), message.text.size() - 1));
  return message;
}

void RollCall::send(const Message& message, int to, int tag) {
  const auto copy = std::make_shared<Message>(message);
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Isend(copy.get(), sizeof(Message), MPI_BYTE, to, tag, comm_, &request) != MPI_SUCCESS) return;
  MPI_Request_free(&request);
  const std::lock_guard lock(sent_mutex_);
  sent_.push_back(copy);
}

// Matched probes: two threads may be here at once.
bool RollCall::receive(int tag, Message& message, int& from) {
  int found = 0;
  MPI_Message handle = MPI_MESSAGE_NULL;
  MPI_Status status;
  if (MPI_Improbe(MPI_ANY_SOURCE, tag, comm_, &found, &handle, &status) != MPI_SUCCESS || !found) return false;
  from = status.MPI_SOURCE;
  if (MPI_Mrecv(&message, sizeof(Message), MPI_BYTE, &handle, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
  message.text.back() = '\0';
  return true;
}

std::optional<int> RollCall::answer() {
  std::optional<int> urgent;
  Message question;
  int from = 0;
  while (receive(kQuestion, question, from)) {
    send(own_message(), from, kAnswer);
    if (question.urgency == static_cast<int64_t>(Urgency::kGivingUp)) urgent = urgent ? std::min(*urgent, from) : from;
  }
  return urgent;
}

RollCall::ByRank RollCall::ask(Urgency urgency) {
  const std::lock_guard lock(asking_);
  ByRank by_rank(static_cast<size_t>(size_));
  Message question = own_message();
  by_rank[static_cast<size_t>(rank_)] = status_in(question);
  question.urgency = static_cast<int64_t>(urgency);
  for (int r = 0; r < size_; ++r) {
    if (r != rank_) send(question, r, kQuestion);
  }
  const auto start = std::chrono::steady_clock::now();
  const bool remembers = urgency == Urgency::kGivingUp && !silent_.empty() && start - asked_ < kMemoryOfSilence;
  const auto is_waited_for = [&](size_t r, auto waited) {
    return !by_rank[r] && !(remembers && silent_[r] && waited > kPatienceWithSilent);
  };
  while (true) {
    const auto waited = std::chrono::steady_clock::now() - start;
    bool incomplete = false;
    for (size_t r = 0; r < by_rank.size(); ++r) incomplete |= is_waited_for(r, waited);
    if (!incomplete || waited > kPatience) break;
    answer();
    Message message;
    int from = 0;
    if (!receive(kAnswer, message, from)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      continue;
    }
    by_rank[static_cast<size_t>(from)] = status_in(message);
  }
  asked_ = start;
  silent_.clear();
  for (const auto& answer : by_rank) silent_.push_back(!answer);
  return by_rank;
}

namespace {

// Of a rank in no step, or in one that has just begun, as of one that did not wait.
double waiting_of(const RankStatus& status) { return std::max(0.0, status.waiting); }

// Of these ranks, the one that all others of them waited for, by what each saw of itself; nothing: there is no such rank.
std::optional<size_t> slowest(const RollCall::ByRank& by_rank, const std::vector<size_t>& ranks) {
  constexpr double kAlmostAlways = 0.8, kFarLess = 0.75;
  if (ranks.size() < 2) return std::nullopt;
  if (!std::all_of(ranks.begin(), ranks.end(), [&](size_t r) { return by_rank[r].has_value(); })) return std::nullopt;
  const auto waits_less = [&](size_t a, size_t b) { return waiting_of(*by_rank[a]) < waiting_of(*by_rank[b]); };
  const size_t least = *std::min_element(ranks.begin(), ranks.end(), waits_less);
  double others = 1.0;
  for (const size_t r : ranks) {
    if (r != least) others = std::min(others, waiting_of(*by_rank[r]));
  }
  if (others < kAlmostAlways || waiting_of(*by_rank[least]) > kFarLess * others) return std::nullopt;
  return least;
}

}  // namespace

std::string RollCall::describe(const ByRank& by_rank, const std::function<std::string(int rank)>& name_of) {
  const auto add = [](std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; };
  int64_t farthest = 0;
  for (const auto& status : by_rank) {
    if (status) farthest = std::max(farthest, RankPosition::unpacked(status->position).begun);
  }
  // In lockstep, who is in an earlier step than another has begun fewer collectives.
  const auto is_out_of_step = [&](const RankPosition& mine) {
    return std::any_of(by_rank.begin(), by_rank.end(), [&](const auto& status) {
      if (!status) return false;
      const RankPosition other = RankPosition::unpacked(status->position);
      return other.step > mine.step && other.begun <= mine.begun;
    });
  };
  std::vector<size_t> all(by_rank.size()), are_behind;
  std::iota(all.begin(), all.end(), size_t{0});
  const std::optional<size_t> waited_for = slowest(by_rank, all);
  bool waited_for_is_behind = false;
  std::string missing, out_of_step, behind, ahead, slow;
  size_t num_ahead = 0;
  for (size_t r = 0; r < by_rank.size(); ++r) {
    const std::string name = name_of(static_cast<int>(r));
    if (!by_rank[r]) {
      add(missing, name);
      continue;
    }
    const RankPosition position = RankPosition::unpacked(by_rank[r]->position);
    const std::string where = fmt::format("{} ({})", name, by_rank[r]->text);
    if (is_out_of_step(position)) {
      add(out_of_step, where);
    } else if (position.begun < farthest) {
      add(behind, where);
      add(slow, name);
      are_behind.push_back(r);
      waited_for_is_behind |= waited_for == r;
    } else {
      add(ahead, where);
      ++num_ahead;
    }
  }
  std::vector<std::string> parts;
  if (!missing.empty()) parts.push_back("missing: " + missing + ", which may be dead, stopped or unreachable");
  if (!out_of_step.empty()) {
    parts.push_back("out of step: " + out_of_step + ", which may have repeated a collective");
  } else if (waited_for && !(waited_for_is_behind && are_behind.size() == 1)) {
    parts.push_back(fmt::format(
        "slow: {} ({}), which waited for others in {:.0f} % of the looks at it since the step began, and "
        "these for it nearly always",
        name_of(static_cast<int>(*waited_for)), by_rank[*waited_for]->text, 100.0 * waiting_of(*by_rank[*waited_for])));
  } else if (const auto last = slowest(by_rank, are_behind)) {
    parts.push_back(fmt::format("behind: {} ({}), for which the others that are not as far as some wait",
                                name_of(static_cast<int>(*last)), by_rank[*last]->text));
  } else if (num_ahead < are_behind.size()) {
    parts.push_back(
        fmt::format("ahead of the others: {}, which may have repeated a collective, unless these are slow: {}", ahead, slow));
  } else if (!behind.empty()) {
    parts.push_back("behind: " + behind);
  }
  return parts.empty() ? "every rank answers and is at the same place" : fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace lockstep
