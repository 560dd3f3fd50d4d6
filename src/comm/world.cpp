#include "comm/world.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>

#include "base/env.h"
#include "base/error.h"
#include "comm/backoff.h"
#include "comm/core_budget.h"
#include "comm/deadline_timer.h"
#include "comm/rank_position.h"
#include "comm/start_up_facts.h"
#include "comm/stop_signal.h"

namespace lockstep {
namespace {

std::string own_host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown-host";
  return name.data();
}

// One write(2), so that the lines of several ranks do not mix, and no lock that a stuck thread may hold.
void write_line(const std::string& line) noexcept {
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(STDERR_FILENO, line.data() + done, line.size() - done);
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

constexpr std::chrono::milliseconds kBetweenRolls{60};
// How long a rank that gives up lets a lower one that lives speak and end the job.
constexpr std::chrono::milliseconds kDeference{3000};
// How long MPI_Abort and the flushing of files may take before the process ends by itself.
constexpr std::chrono::milliseconds kAbortLimit{3000};
// How long what is to be done before the end may take.
constexpr std::chrono::milliseconds kCleanUpLimit{800};

// Whether all have answered and have begun equally many collectives.
bool all_at_one_place(const RollCall::ByRank& by_rank) {
  const auto begun = [](const auto& status) { return RankPosition::unpacked(status->position).begun; };
  return std::all_of(by_rank.begin(), by_rank.end(),
                     [&](const auto& status) { return status && begun(status) == begun(by_rank.front()); });
}

// NCCL's abort, for one, may itself wait for the peer that is gone.
void run_briefly(const std::function<void()>& body) noexcept {
  try {
    const auto done = std::make_shared<std::promise<void>>();
    std::thread([body, done] {
      body();
      done->set_value();
    }).detach();
    done->get_future().wait_for(kCleanUpLimit);
  } catch (...) {  // no thread to be had
  }
}

// Ends this process if MPI itself does not return in time.
DeadlineTimer guard_mpi_call(const char* call, const std::string& who, Seconds limit) {
  return DeadlineTimer(limit, [call, who, limit] {
    write_line(
        fmt::format("lockstep: error: [{}] {} did not return within {:.0f} s; is a rank missing, stopped or unreachable?\n", who,
                    call, limit.count()));
    _exit(1);
  });
}

}  // namespace

void World::check_mpi(int status, const char* what) {
  if (status == MPI_SUCCESS) [[likely]]
    return;
  std::array<char, MPI_MAX_ERROR_STRING + 1> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  fail("{}: MPI failed: {}", what, std::string_view(text.data(), static_cast<size_t>(length)));
}

std::string World::launcher_problem() {
  const Env::Launcher launcher = Env::read().launcher;
  RankFacts facts;
  facts.host = own_host_name();
  MPI_Comm_rank(MPI_COMM_WORLD, &facts.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &facts.world_size);
  facts.launcher_variable = launcher.variable;
  facts.launcher_size = launcher.size.value_or(0);
  facts.launcher_rank = launcher.rank.value_or(-1);
  const auto findings = judge_start_up({facts});
  return findings.empty() ? "" : findings[0].text;
}

World::World(int& argc, char**& argv)
    : owns_mpi_(true), host_(own_host_name()), exceptions_at_start_(std::uncaught_exceptions()) {
  const auto timer = guard_mpi_call("MPI_Init", host_, timeout_);
  int provided = MPI_THREAD_SINGLE;
  // MULTIPLE, because the watchdog's thread may call MPI_Abort while the main thread waits.
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  comm_ = MPI_COMM_WORLD;  // for wait() until there is a communicator of our own
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (const std::string problem = launcher_problem(); !problem.empty()) {
    // Several processes that should be one world and are not: only the first of them says so.
    const Env::Launcher launcher = Env::read().launcher;
    if (launcher.size && launcher.rank.value_or(rank_) > 0) throw PhaseFailed();
    fail("{}", problem);
  }
  join(MPI_COMM_WORLD);
}

World::World(MPI_Comm application) : owns_mpi_(false), host_(own_host_name()), exceptions_at_start_(std::uncaught_exceptions()) {
  int initialised = 0, finalized = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalized);
  check(initialised != 0 && finalized == 0, "MPI is {}, and the application has given a communicator of it",
        finalized != 0 ? "finalized already" : "not initialised");
  check(application != MPI_COMM_NULL, "the communicator is MPI_COMM_NULL; only ranks that belong to one may take part");
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (level < MPI_THREAD_MULTIPLE) {
    spdlog::debug("MPI was not initialised with MPI_THREAD_MULTIPLE: a rank that is stuck may take longer to end");
  }
  join(application);
}

void World::join(MPI_Comm all) {
  check_mpi(MPI_Comm_dup(all, &comm_), "MPI_Comm_dup");
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local_comm_), "MPI_Comm_split_type");
  check_mpi(MPI_Comm_dup(comm_, &watch_comm_), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(watch_comm_, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(local_comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(local_comm_, &local_rank_);
  MPI_Comm_size(local_comm_, &local_size_);

  cpu_set_t mask = own_affinity();
  std::vector<cpu_set_t> masks(static_cast<size_t>(local_size_));
  check_mpi(MPI_Allgather(&mask, sizeof(mask), MPI_BYTE, masks.data(), sizeof(mask), MPI_BYTE, local_comm_), "MPI_Allgather");
  int scarce = lockstep::cores_are_scarce(masks, own_cpu_quota()) ? 1 : 0;
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, &scarce, 1, MPI_INT, MPI_MAX, local_comm_), "MPI_Allreduce");
  cores_are_scarce_ = scarce != 0;
  hosts_ = all_gather(host_, "exchange of host names");
  // An application may have initialised MPI for one thread only; then nobody answers, on any rank.
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (all_min(level, "support of threads") < MPI_THREAD_MULTIPLE) return;
  roll_call_ = std::make_unique<RollCall>(
      watch_comm_, [this] { return own_status(); },
      [this](int asker) {
        // It has found no lower rank than us that lives, or will leave it to the lowest.
        if (asker > rank_) give_up(fmt::format("{} waits in vain", name_of(asker)));
      });
}

std::unique_ptr<World> World::part(int color) const { return std::unique_ptr<World>(new World(*this, color)); }

World::World(const World& whole, int color)
    : owns_mpi_(false),
      host_(whole.host_),
      cores_are_scarce_(whole.cores_are_scarce_),
      timeout_(whole.timeout_),
      exceptions_at_start_(std::uncaught_exceptions()) {
  const auto timer = guard_mpi_call("MPI_Comm_split", whole.name_of(whole.rank_), timeout_);
  check_mpi(MPI_Comm_split(whole.comm_, color, whole.rank_, &comm_), "MPI_Comm_split");
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  for (const auto& number : all_gather(std::to_string(whole.rank_), "ranks of a part")) numbers_.push_back(std::stoi(number));
  for (const int number : numbers_) hosts_.push_back(whole.host_of(number));
  check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local_comm_), "MPI_Comm_split_type");
  MPI_Comm_rank(local_comm_, &local_rank_);
  MPI_Comm_size(local_comm_, &local_size_);
}

void World::free_communicators() {
  for (MPI_Comm* comm : {&watch_comm_, &local_comm_, &comm_}) {
    if (*comm != MPI_COMM_NULL) MPI_Comm_free(comm);
  }
}

World::~World() {
  roll_call_.reset();
  // With an exception on its way out, the other ranks may never come to MPI_Finalize.
  if (size_ > 1 && std::uncaught_exceptions() > exceptions_at_start_) return;
  if (!owns_mpi_) {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) free_communicators();
    return;
  }
  const auto timer = guard_mpi_call("MPI_Finalize", fmt::format("rank {}/{} on {}", rank_, size_, host_), timeout_);
  free_communicators();
  MPI_Finalize();
}

std::string World::name_of(int rank) const {
  const auto r = static_cast<size_t>(rank);
  return fmt::format("rank {} on {}", r < numbers_.size() ? numbers_[r] : rank, r < hosts_.size() ? hosts_[r] : "unknown host");
}

void World::wait(MPI_Request& request, const char* what, bool idle) const {
  struct Count {
    explicit Count(std::atomic<int>& of) : count(of) { ++count; }
    ~Count() { --count; }
    std::atomic<int>& count;
  } const count(waiting_);
  Backoff backoff(cores_are_scarce_);
  while (true) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done) return;
    if (!idle && backoff.elapsed() > timeout_) {
      const Seconds waited = backoff.elapsed();
      fail("{} waited {:.1f} s for {}; {}", name_of(rank_), waited.count(), what, who_is_missing());
    }
    backoff.pause();
  }
}

void World::run(const std::shared_ptr<void>& buffers, const char* what, bool idle,
                const std::function<int(MPI_Request*)>& start) const {
  MPI_Request request = MPI_REQUEST_NULL;
  try {
    check_mpi(start(&request), what);
    wait(request, what, idle);
  } catch (...) {
    abandoned_.push_back(buffers);
    throw;
  }
}

void World::barrier(const char* what) const {
  run(nullptr, what, false, [&](MPI_Request* r) { return MPI_Ibarrier(comm_, r); });
}

void World::broadcast(std::vector<std::byte>& bytes, const char* what, bool idle) const {
  if (size_ == 1) return;
  // The receivers do not know the length, so that the first message has a fixed size, enough for the plan of a usual step.
  struct FirstBlock {
    uint64_t length = 0;
    std::array<std::byte, 4096 - sizeof(uint64_t)> data;
  };
  const auto first = std::make_shared<FirstBlock>();
  if (is_root()) {
    first->length = bytes.size();
    std::copy_n(bytes.data(), std::min(bytes.size(), first->data.size()), first->data.data());
  }
  run(first, what, idle, [&](MPI_Request* r) { return MPI_Ibcast(first.get(), sizeof(FirstBlock), MPI_BYTE, 0, comm_, r); });
  const size_t length = first->length, in_first = std::min(length, first->data.size());
  if (!is_root()) {
    bytes.resize(length);
    std::copy_n(first->data.data(), in_first, bytes.data());
  }
  if (length == in_first) return;
  const auto rest = std::make_shared<std::vector<std::byte>>(bytes.begin() + static_cast<ptrdiff_t>(in_first), bytes.end());
  constexpr size_t kPiece = size_t{1} << 30;  // MPI counts are int
  for (size_t begin = 0; begin < rest->size(); begin += kPiece) {
    const int count = static_cast<int>(std::min(kPiece, rest->size() - begin));
    run(rest, what, false, [&](MPI_Request* r) { return MPI_Ibcast(rest->data() + begin, count, MPI_BYTE, 0, comm_, r); });
  }
  if (!is_root()) std::copy(rest->begin(), rest->end(), bytes.begin() + static_cast<ptrdiff_t>(in_first));
}

std::string World::broadcast(const std::string& text, const char* what) const {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  std::vector<std::byte> bytes(data, data + text.size());
  broadcast(bytes, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> World::all_gather(const std::string& mine, const char* what) const {
  struct Buffers {
    std::string mine, all;
    std::vector<int> lengths, offsets;
    int length = 0;
  };
  check(mine.size() < INT_MAX, "{}: {} bytes are too many for one exchange", what, mine.size());
  const auto n = static_cast<size_t>(size_);
  const auto b =
      std::make_shared<Buffers>(Buffers{mine, "", std::vector<int>(n), std::vector<int>(n), static_cast<int>(mine.size())});
  run(b, what, false,
      [&](MPI_Request* r) { return MPI_Iallgather(&b->length, 1, MPI_INT, b->lengths.data(), 1, MPI_INT, comm_, r); });
  int64_t total = 0;
  for (size_t i = 0; i < n; ++i) {
    b->offsets[i] = static_cast<int>(total);
    total += b->lengths[i];
    check(total < INT_MAX, "{}: the ranks' {} bytes together are too many for one exchange", what, total);
  }
  b->all.resize(static_cast<size_t>(total));
  run(b, what, false, [&](MPI_Request* r) {
    return MPI_Iallgatherv(b->mine.data(), b->length, MPI_BYTE, b->all.data(), b->lengths.data(), b->offsets.data(), MPI_BYTE,
                           comm_, r);
  });
  std::vector<std::string> result(n);
  for (size_t i = 0; i < n; ++i)
    result[i] = b->all.substr(static_cast<size_t>(b->offsets[i]), static_cast<size_t>(b->lengths[i]));
  return result;
}

int64_t World::all_reduce(int64_t value, MPI_Op op, const char* what) const {
  struct Buffers {
    int64_t in, out;
  };
  const auto b = std::make_shared<Buffers>(Buffers{value, value});
  run(b, what, false, [&](MPI_Request* r) { return MPI_Iallreduce(&b->in, &b->out, 1, MPI_INT64_T, op, comm_, r); });
  return b->out;
}

int64_t World::all_min(int64_t value, const char* what) const { return all_reduce(value, MPI_MIN, what); }
int64_t World::all_max(int64_t value, const char* what) const { return all_reduce(value, MPI_MAX, what); }

void World::require_same(const char* what, const std::string& value) const {
  const auto values = all_gather(value, what);
  std::string different;
  for (int r = 1; r < size_; ++r) {
    const auto& other = values[static_cast<size_t>(r)];
    if (other != values[0]) different += fmt::format("{}{} has '{}'", different.empty() ? "" : ", ", name_of(r), other);
  }
  check(different.empty(), "the ranks disagree about {}: {} has '{}', but {}", what, name_of(0), values[0], different);
}

void World::print_error(const std::string& message) const noexcept {
  try {
    write_line(fmt::format("lockstep: error: [rank {}/{} on {}] {}\n", rank_, size_, host_, message));
  } catch (...) {
    write_line("lockstep: error: out of memory\n");
  }
}

void World::set_device(const std::string& device) const {
  const std::lock_guard lock(status_mutex_);
  device_ = device;
}

void World::set_status(std::function<RankStatus()> status) const {
  const std::lock_guard lock(status_mutex_);
  status_ = std::move(status);
}

RankStatus World::own_status() const {
  const std::unique_lock lock(status_mutex_, std::chrono::milliseconds(200));  // whoever holds it may be stuck
  if (!lock.owns_lock() || !status_) return {0, "starting up or ending"};
  return status_();
}

std::string World::whereabouts() const {
  const std::string status = own_status().text;
  const std::unique_lock lock(status_mutex_, std::chrono::milliseconds(200));
  return fmt::format("pid {}{}, {}", getpid(), lock.owns_lock() && !device_.empty() ? ", " + device_ : "", status);
}

std::string World::who_is_missing() const {
  if (roll_call_ == nullptr || size_ == 1) return "a peer may be dead, stopped or unreachable";
  return RollCall::describe(roll_call_->ask(RollCall::Urgency::kCurious), [this](int r) { return name_of(r); });
}

bool World::everybody_answers() const {
  if (roll_call_ == nullptr) return true;  // as far as can be known
  const RollCall::ByRank answers = roll_call_->ask(RollCall::Urgency::kCurious);
  return std::all_of(answers.begin(), answers.end(), [](const auto& answer) { return answer.has_value(); });
}

void World::give_up(const std::string& message, const std::function<void()>& before_end) const noexcept {
  if (giving_up_.test_and_set()) {
    while (true) pause();  // another thread is at it
  }
  std::string who;
  try {
    if (roll_call_ == nullptr) abort(message + "; " + who_is_missing(), 1, before_end);
    RollCall::ByRank answers = roll_call_->ask(RollCall::Urgency::kGivingUp);
    // A rank that is only slow is where the others are for a moment, behind them most of the time.
    for (int again = 0; again < 3 && all_at_one_place(answers); ++again) {
      std::this_thread::sleep_for(kBetweenRolls);
      answers = roll_call_->ask(RollCall::Urgency::kGivingUp);
    }
    // A lower rank that answers has been asked to speak for us.
    if (std::any_of(answers.begin(), answers.begin() + rank_, [](const auto& answer) { return answer.has_value(); })) {
      std::this_thread::sleep_for(kDeference);
    }
    who = "; " + RollCall::describe(answers, [this](int r) { return name_of(r); });
  } catch (...) {  // out of memory: say what we can
  }
  abort(message + who, 1, before_end);
}

void World::await_abort() const noexcept {
  std::this_thread::sleep_for(std::chrono::seconds(4));
  abort("another rank of this host gave up, but did not end the job");
}

void World::abort(const std::string& message, int exit_code, const std::function<void()>& before_end) const noexcept {
  if (aborting_.test_and_set()) {
    while (true) pause();  // another thread is at it
  }
  try {
    std::thread([exit_code] {
      std::this_thread::sleep_for(kAbortLimit);
      _exit(exit_code);  // stdio or MPI is stuck
    }).detach();
  } catch (...) {
    _exit(exit_code);
  }
  // An error that all ranks share should be told once: a higher rank lets the lower ones end the job first.
  if (rank_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(200 + 20 * std::min(rank_, 40)));
  // The launcher ends a rank that others gave up on; its own view of the matter would be a second, wrong cause.
  if (!StopSignal::any_received()) {
    try {
      print_error(fmt::format("{} [{}]", message, whereabouts()));
    } catch (...) {
      print_error(message);
    }
  }
  if (before_end) run_briefly(before_end);
  std::fflush(nullptr);
  if (size_ > 1) MPI_Abort(comm_, exit_code);
  _exit(exit_code);
}

}  // namespace lockstep
