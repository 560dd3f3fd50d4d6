// The scheduler is pure, so it is driven here by a simulator that plays device and users, checking invariants at each step.
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "engine/scheduler.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int32_t kStop = 7;
constexpr int32_t kNumTokens = 60;

// What K and V of a position stand for: all tokens up to it, and what else changes them.
uint64_t extend(uint64_t history, int32_t token) {
  uint64_t x = (history ^ static_cast<uint64_t>(token + 1)) * 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9ull;
  return x ^ (x >> 32);
}

// What the user knows of a sequence.
struct User {
  Sequence* sequence = nullptr;
  uint64_t seed = 0;
  uint64_t variant = 0;
  int64_t arrival = 0;
  int64_t arrival_step = 0;
  int64_t priority = 0;
  int64_t deferrals = 0;
  int64_t ahead = 0;  // sequences that may go before it
  bool admitted = false;
  std::vector<int32_t> outputs;  // that the device has sampled, the first of which the scheduler knows
};

// What the device holds of a slot.
struct DeviceSlot {
  std::vector<int32_t> table;
  int64_t computed = 0;
  int32_t last_token = -1;
};

struct Counts {
  int64_t steps = 0, finished = 0, stopped = 0, cancelled = 0, timed_out = 0, preemptions = 0, hits = 0, deferrals = 0,
          advanced = 0;
  Counts& operator+=(const Counts& o) {
    steps += o.steps, finished += o.finished, stopped += o.stopped, cancelled += o.cancelled, timed_out += o.timed_out;
    preemptions += o.preemptions, hits += o.hits, deferrals += o.deferrals, advanced += o.advanced;
    return *this;
  }
};

// Up to `depth` steps are in flight before the tokens of the oldest become known.
class Simulator {
 public:
  Simulator(const SchedulerLimits& limits, uint32_t seed, size_t depth)
      : limits_(limits),
        scheduler_(limits),
        random_(seed),
        depth_(depth),
        memory_(static_cast<size_t>(limits.num_blocks * limits.block_size), 0),
        share_(seed % 4 != 0),
        period_(1 + static_cast<int64_t>(seed) % 5) {
    for (std::vector<int32_t>& prefix : prefixes_) {
      for (int64_t i = 0; i < limits.max_model_len / 2; ++i) prefix.push_back(token());
    }
  }

  void run(int64_t steps) {
    while (counts_.steps < steps) {
      if (uniform(0, period_) == 0) arrive();
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    while (scheduler_.has_work()) {
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    while (!in_flight_.empty()) commit();
    EXPECT_TRUE(users_.empty());
    EXPECT_EQ(scheduler_.blocks().num_free(), limits_.num_blocks);
    counts_.preemptions = scheduler_.stats().num_preemptions;
    counts_.hits = scheduler_.stats().prefix_hits;
  }
  const Counts& counts() const { return counts_; }

 private:
  struct Step {
    std::vector<std::pair<int64_t, int32_t>> sampled;  // id and token
  };

  int64_t uniform(int64_t low, int64_t high) { return low + static_cast<int64_t>(random_()) % (high - low + 1); }
  int32_t token() { return static_cast<int32_t>(uniform(0, kNumTokens - 1)); }

  // A request of up to three continuations of a prompt that begins as others do.
  void arrive() {
    std::vector<int32_t> prompt = prefixes_[static_cast<size_t>(uniform(0, 2))];
    prompt.resize(static_cast<size_t>(uniform(1, static_cast<int64_t>(prompt.size()))));
    for (int64_t more = uniform(0, limits_.max_model_len / 4); more > 0; --more) prompt.push_back(token());
    const auto length = static_cast<int64_t>(prompt.size());
    const int64_t n = uniform(0, 3) == 0 ? 3 : 1;
    const int64_t max_tokens = uniform(1, limits_.max_model_len - length);
    const int64_t priority = uniform(0, 5) == 0 ? uniform(-1, 2) : 0;
    const int64_t variant = uniform(0, 1);
    for (int64_t i = 0; i < n; ++i) {
      auto sequence = std::make_unique<Sequence>();
      sequence->id = next_id_++;
      sequence->tokens = prompt;
      sequence->prompt_len = length;
      sequence->max_len = length + max_tokens;
      sequence->priority = static_cast<int32_t>(priority);
      sequence->stop_tokens = {kStop};
      sequence->shares_blocks = share_ || n > 1;
      sequence->variant = share_ ? std::to_string(variant) : "request " + std::to_string(next_id_ - i);
      if (uniform(0, 3) == 0) sequence->params.repetition_penalty = 1.5f;
      if (uniform(0, 7) == 0) sequence->params.prompt_logprobs = 2;
      if (uniform(0, 9) == 0) sequence->deadline = Clock::time_point(std::chrono::seconds(counts_.steps + uniform(1, 100)));
      User& user = users_[sequence->id];
      user.sequence = sequence.get();
      user.seed = random_();
      user.variant = std::hash<std::string>()(sequence->variant);
      user.arrival = sequence->id;
      user.arrival_step = counts_.steps;
      user.priority = priority;
      // Whoever is here may go first, for as long as it takes; of those to come, higher priorities.
      user.ahead = static_cast<int64_t>(users_.size());
      for (auto& [id, other] : users_) other.ahead += other.priority < priority ? 1 : 0;
      scheduler_.add(std::move(sequence));
    }
  }

  void step() {
    ++counts_.steps;
    if (!users_.empty() && uniform(0, 19) == 0) {
      auto victim = users_.begin();
      std::advance(victim, uniform(0, static_cast<int64_t>(users_.size()) - 1));
      remove(victim->first);
      ++counts_.cancelled;
    }
    for (Sequence* late : scheduler_.expired(Clock::time_point(std::chrono::seconds(counts_.steps)))) {
      remove(late->id);
      ++counts_.timed_out;
    }
    while (in_flight_.size() < depth_) {
      std::set<int64_t> running;
      for (const auto& [id, user] : users_) {
        if (user.sequence->slot >= 0) running.insert(id);
      }
      const StepPlan plan = scheduler_.schedule();
      ASSERT_NO_FATAL_FAILURE(check_blocks());
      ASSERT_NO_FATAL_FAILURE(check_preempted(running));
      ASSERT_NO_FATAL_FAILURE(check_order(plan));
      if (plan.sequences.empty()) {
        ASSERT_TRUE(plan.setups.empty() && plan.blocks.empty());
        ASSERT_TRUE(!in_flight_.empty() || !scheduler_.has_work()) << "work waits but nothing runs";
        break;
      }
      ASSERT_NO_FATAL_FAILURE(run_on_device(plan));
    }
    if (!in_flight_.empty()) commit();
    for (const auto& [id, user] : users_) {
      ASSERT_LE(counts_.steps - user.arrival_step, bound(user))
          << "sequence " << id << " of priority " << user.priority << " starves";
    }
  }

  // Steps within which a sequence ends. Each that goes before it takes a step a token at most, once it is first, and the wait for
  // its place at the front; what waits longest is advanced, one in `patience` steps.
  int64_t bound(const User& user) const {
    const int64_t each = limits_.max_model_len + static_cast<int64_t>(depth_) + 1;
    return user.ahead * each + limits_.patience;
  }

  Sequence* in_slot(int32_t slot) const {
    for (const auto& [id, user] : users_) {
      if (user.sequence->slot == slot) return user.sequence;
    }
    return nullptr;
  }

  // No block is lost, and none has users that do not know of it.
  void check_blocks() {
    std::map<int32_t, int32_t> users;
    for (const auto& [id, user] : users_) {
      for (const int32_t block : user.sequence->blocks) ++users[block];
    }
    ASSERT_EQ(scheduler_.blocks().num_free(), limits_.num_blocks - static_cast<int64_t>(users.size()));
    for (int32_t block = 0; block < limits_.num_blocks; ++block) ASSERT_EQ(scheduler_.blocks().num_users(block), users[block]);
  }

  // Who is preempted is behind all who run on.
  void check_preempted(const std::set<int64_t>& ran) {
    for (const int64_t id : ran) {
      const User& user = users_.at(id);
      if (user.sequence->slot >= 0 || user.deferrals != user.sequence->num_deferrals) continue;
      for (const auto& [other, runner] : users_) {
        if (runner.sequence->slot < 0) continue;
        ASSERT_TRUE(runner.sequence->rank < user.sequence->rank) << id << " was preempted, but not " << other;
      }
    }
  }

  // Nobody is passed by a younger one of the same priority, but for waiting for what is being computed for another.
  void check_order(const StepPlan& plan) {
    std::vector<User*> fresh;
    for (const SlotSetup& setup : plan.setups) {
      User& user = users_.at(in_slot(setup.slot)->id);
      if (!user.admitted) fresh.push_back(&user);
      user.admitted = true;
    }
    for (auto& [id, user] : users_) {
      const bool deferred = std::exchange(user.deferrals, user.sequence->num_deferrals) != user.sequence->num_deferrals;
      counts_.deferrals += deferred ? 1 : 0;
      if (user.admitted || deferred) continue;
      for (const User* other : fresh) {
        if (other->priority != user.priority || other->arrival < user.arrival) continue;
        ASSERT_TRUE(other->sequence->rank.waited_long) << other->arrival << " passed " << user.arrival;
      }
    }
    for (const User* user : fresh) counts_.advanced += user->sequence->rank.waited_long ? 1 : 0;
  }

  void run_on_device(const StepPlan& plan) {
    ASSERT_LE(plan.num_tokens(), limits_.max_num_batched_tokens);
    ASSERT_LE(plan.sequences.size(), static_cast<size_t>(limits_.max_num_seqs));
    for (const SlotSetup& setup : plan.setups) device_[setup.slot] = {{}, -1, setup.last_token};
    for (const BlockAppend& append : plan.blocks) {
      std::vector<int32_t>& table = device_[append.slot].table;
      ASSERT_EQ(append.index, static_cast<int32_t>(table.size()));
      table.push_back(append.block);
    }
    // What was computed before is read as the memory is before this step; nothing may rely on what the step itself writes for
    // others.
    std::set<int32_t> slots;
    for (const PlannedSequence& planned : plan.sequences) {
      ASSERT_TRUE(slots.insert(planned.slot).second) << "a slot runs twice in a step";
      ASSERT_NO_FATAL_FAILURE(check_context(planned));
    }
    std::set<int64_t> written;
    Step& step = in_flight_.emplace_back();
    for (const PlannedSequence& planned : plan.sequences) compute(planned, written, step);
  }

  std::vector<int32_t> true_tokens(const User& user) const {
    std::vector<int32_t> tokens(user.sequence->tokens.begin(), user.sequence->tokens.begin() + user.sequence->prompt_len);
    tokens.insert(tokens.end(), user.outputs.begin(), user.outputs.end());
    return tokens;
  }

  void check_context(const PlannedSequence& planned) {
    const Sequence* sequence = in_slot(planned.slot);
    ASSERT_NE(sequence, nullptr);
    const User& user = users_.at(sequence->id);
    DeviceSlot& slot = device_.at(planned.slot);
    if (slot.computed < 0) {
      slot.computed = planned.context_start;
      ASSERT_TRUE(planned.context_start == 0 || sequence->shares_blocks);
    }
    ASSERT_EQ(planned.context_start, slot.computed) << "tokens skipped or computed twice";
    ASSERT_FALSE(planned.tokens.empty());
    const std::vector<int32_t> tokens = true_tokens(user);
    uint64_t history = user.variant;
    for (int64_t i = 0; i < planned.context_start; ++i) {
      history = extend(history, tokens.at(static_cast<size_t>(i)));
      ASSERT_EQ(memory_[place(slot, i)], history)
          << "position " << i << " of sequence " << sequence->id << " holds another's K and V";
    }
  }

  size_t place(const DeviceSlot& slot, int64_t position) const {
    const int64_t block = slot.table.at(static_cast<size_t>(position / limits_.block_size));
    return static_cast<size_t>(block * limits_.block_size + position % limits_.block_size);
  }

  void compute(const PlannedSequence& planned, std::set<int64_t>& written, Step& step) {
    Sequence* sequence = in_slot(planned.slot);
    User& user = users_.at(sequence->id);
    DeviceSlot& slot = device_.at(planned.slot);
    const std::vector<int32_t> tokens = true_tokens(user);
    uint64_t history = user.variant;
    for (int64_t i = 0; i < planned.context_start; ++i) history = extend(history, tokens.at(static_cast<size_t>(i)));
    for (size_t i = 0; i < planned.tokens.size(); ++i) {
      const int32_t id = planned.tokens[i] < 0 ? slot.last_token : planned.tokens[i];
      ASSERT_TRUE(planned.tokens[i] >= 0 || (planned.sample && i + 1 == planned.tokens.size())) << "an unknown token";
      ASSERT_EQ(id, tokens.at(static_cast<size_t>(slot.computed)));
      history = extend(history, id);
      const size_t at = place(slot, slot.computed++);
      ASSERT_TRUE(written.insert(static_cast<int64_t>(at)).second) << "two sequences write the same place";
      memory_[at] = history;
    }
    ASSERT_LE(slot.computed, limits_.max_model_len);
    ASSERT_EQ(planned.sample, slot.computed == static_cast<int64_t>(tokens.size()));
    if (!planned.sample) return;
    ASSERT_EQ(planned.output_index, static_cast<int32_t>(user.outputs.size()));
    const auto sampled = static_cast<int32_t>(extend(history, static_cast<int32_t>(user.seed % 1000)) % kNumTokens);
    slot.last_token = sampled;
    user.outputs.push_back(sampled);
    step.sampled.emplace_back(sequence->id, sampled);
  }

  void commit() {
    const CommittedStep done = scheduler_.commit();
    const Step step = std::move(in_flight_.front());
    in_flight_.pop_front();
    ASSERT_EQ(done.sampled.size(), step.sampled.size());
    for (const PromptPart& part : done.prompts) {
      ASSERT_TRUE(part.sequence == nullptr || part.first + part.count <= part.sequence->prompt_len);
    }
    for (size_t i = 0; i < done.sampled.size(); ++i) {
      const auto [id, sampled] = step.sampled[i];
      ASSERT_EQ(done.sampled[i], users_.count(id) > 0 ? users_.at(id).sequence : nullptr);
      if (done.sampled[i] == nullptr) continue;
      Sequence& sequence = *done.sampled[i];
      scheduler_.append(sequence, sampled);
      if (sequence.finish == FinishReason::kNone) continue;
      ASSERT_LE(sequence.num_known(), sequence.max_len);
      if (sequence.num_known() < sequence.max_len) {
        ASSERT_EQ(sequence.tokens.back(), kStop);
        ++counts_.stopped;
      }
      remove(id);
      ++counts_.finished;
    }
  }

  void remove(int64_t id) {
    scheduler_.remove(*users_.at(id).sequence);
    users_.erase(id);
  }

  SchedulerLimits limits_;
  Scheduler scheduler_;
  std::mt19937 random_;
  size_t depth_;
  std::vector<uint64_t> memory_;  // by block and offset
  bool share_;                    // prefix caching for all
  int64_t period_;                // of arrivals
  std::array<std::vector<int32_t>, 3> prefixes_;
  std::map<int64_t, User> users_;  // by id
  std::map<int32_t, DeviceSlot> device_;
  std::deque<Step> in_flight_;
  int64_t next_id_ = 0;
  Counts counts_;
};

TEST(SchedulerSimulation, KeepsItsInvariantsUnderRandomLoad) {
  constexpr uint32_t kSeeds = 24;
  constexpr int64_t kSteps = 1400;  // of each; 3 * 24 * 1400 = 100,800 in all
  Counts all;
  for (const size_t depth : {1, 2, 3}) {
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
      SchedulerLimits limits;
      limits.max_num_seqs = 2 + static_cast<int32_t>(seed % 7);
      limits.max_num_batched_tokens = 8 + seed;
      limits.max_model_len = 64;
      limits.block_size = 4;
      limits.num_blocks = 16 + 2 * seed;  // one sequence of 64 tokens needs 16
      limits.patience = 100;
      Simulator simulator(limits, seed, depth);
      simulator.run(kSteps);
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", " << depth << " steps in flight";
      all += simulator.counts();
    }
  }
  // A load that does not come across these shows nothing.
  EXPECT_GE(all.steps, 100000);
  EXPECT_GT(all.finished, 1000);
  EXPECT_GT(all.preemptions, 1000);
  EXPECT_GT(all.stopped, 300);
  EXPECT_GT(all.cancelled, 300);
  EXPECT_GT(all.timed_out, 300);
  EXPECT_GT(all.hits, 10000);
  EXPECT_GT(all.deferrals, 100);
  EXPECT_GT(all.advanced, 10);
}

}  // namespace
}  // namespace lockstep
