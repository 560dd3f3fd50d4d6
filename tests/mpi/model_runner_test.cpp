// The whole model at the world's size against the whole model on one rank: every rank builds both from the same dummy weights,
// runs the same plans, and wants the same tokens, close log-probabilities, and exactly the documented number of AllReduces.
#include "engine/model_runner.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "comm/host_communicator.h"
#include "engine/scheduler.h"
#include "mpi/odd_model.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

constexpr int64_t kBlocks = 40;
constexpr RunnerLimits kLimits{.max_num_seqs = 6, .max_num_batched_tokens = 24, .max_model_len = 64};

// One sequence per way of sampling.
std::vector<SamplingParams> all_ways() {
  std::vector<SamplingParams> ways(6);
  ways[1].temperature = 0.8f;
  ways[2].temperature = 1.2f, ways[2].top_k = 7, ways[2].top_p = 0.9f;
  ways[3].temperature = 1.0f, ways[3].min_p = 0.3f;
  ways[4].repetition_penalty = 1.4f, ways[4].presence_penalty = 0.2f, ways[4].frequency_penalty = 0.3f;
  ways[5].min_tokens = 4, ways[5].stop_token_ids = {3, 77};
  for (size_t i = 0; i < ways.size(); ++i) {
    ways[i].max_tokens = 12;
    ways[i].logprobs = i % 2 == 0 ? 3 : -1;
  }
  return ways;
}

constexpr SchedulerLimits kSchedulerLimits{.max_num_seqs = kLimits.max_num_seqs,
                                           .max_num_batched_tokens = kLimits.max_num_batched_tokens,
                                           .max_model_len = kLimits.max_model_len,
                                           .block_size = 4,
                                           .num_blocks = kBlocks};

// `rounds` sequences per way of sampling, which `stops` end, too.
void add_sequences(Scheduler& scheduler, size_t rounds, const std::vector<int32_t>& stops) {
  const std::vector<SamplingParams> ways = all_ways();
  for (size_t i = 0; i < ways.size() * rounds; ++i) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = static_cast<int64_t>(i);
    for (size_t t = 0; t < 3 + 9 * i % 50; ++t) sequence->tokens.push_back(static_cast<int32_t>((17 * i + 5 * t) % 131));
    sequence->prompt_len = sequence->length();
    sequence->params = ways[i % ways.size()];
    sequence->max_len = std::min<int64_t>(sequence->prompt_len + sequence->params.max_tokens, kLimits.max_model_len);
    sequence->seed = 100 + i;
    sequence->stop_tokens = sequence->params.stop_token_ids;
    sequence->stop_tokens.insert(sequence->stop_tokens.end(), stops.begin(), stops.end());
    scheduler.add(std::move(sequence));
  }
}

class ModelRunnerTest : public WorldFixture {};

TEST_F(ModelRunnerTest, AnyNumberOfRanksGivesTheTokensOfOne) {
  const ModelConfig config = odd_config();
  const auto full = make_runner(config, 1, 0, nullptr, kLimits, kBlocks);
  const auto shared =
      make_runner(config, world().size(), world().rank(), std::make_unique<HostCommunicator>(world(), 1 << 16), kLimits, kBlocks);

  Scheduler scheduler(kSchedulerLimits);
  add_sequences(scheduler, 1, {});
  int64_t steps = 0, tokens = 0;
  while (scheduler.has_work()) {
    const StepPlan plan = StepPlan::deserialize(scheduler.schedule().serialize());
    const StepResult expected = full->run(plan);
    const StepResult found = shared->run(plan);
    ++steps;
    ASSERT_EQ(found.tokens, expected.tokens) << "step " << plan.step;
    ASSERT_EQ(found.logprobs.size(), expected.logprobs.size());
    for (size_t i = 0; i < found.logprobs.size(); ++i) {
      ASSERT_NEAR(found.logprobs[i].chosen, expected.logprobs[i].chosen, 1e-4) << "step " << plan.step;
      for (int k = 0; k < 3; ++k) ASSERT_NEAR(found.logprobs[i].top_logprob[k], expected.logprobs[i].top_logprob[k], 1e-4);
    }
    const std::vector<Sequence*> sampled = scheduler.commit().sampled;
    ASSERT_EQ(sampled.size(), found.tokens.size());
    for (size_t i = 0; i < sampled.size(); ++i) {
      scheduler.append(*sampled[i], found.tokens[i]);
      ++tokens;
      if (sampled[i]->finish != FinishReason::kNone) scheduler.remove(*sampled[i]);
    }
  }
  EXPECT_GT(tokens, 50);
  // Two AllReduces a layer, and one for the vocab-parallel embedding; none for sampling.
  EXPECT_EQ(shared->communicator().counters().all_reduce_calls, steps * (2 * config.num_layers + 1));
}

// The CPU, whose calls are complete when they return, in the guise of a device with a side stream: what is done in the wrong
// order there shows only in the marks. Each is waited for once before it is set again, with nothing else on the side meanwhile.
class SideStreamWatch : public AheadBackend {
 public:
  bool is_asynchronous() const override { return false; }
  void enter_side_stream() override {
    EXPECT_FALSE(inside_);
    inside_ = true;
    ++num_entered_;
  }
  void leave_side_stream(int mark) override {
    EXPECT_TRUE(inside_);
    EXPECT_FALSE(open_.at(static_cast<size_t>(mark))) << "nobody has waited for mark " << mark;
    open_.at(static_cast<size_t>(mark)) = true;
    inside_ = false;
  }
  void wait_for_side_stream(int mark) override {
    EXPECT_FALSE(inside_);
    EXPECT_TRUE(open_.at(static_cast<size_t>(mark))) << "mark " << mark << " is not set";
    open_.at(static_cast<size_t>(mark)) = false;
  }
  bool has_open_marks() const { return open_[0] || open_[1]; }
  int64_t num_entered() const { return num_entered_; }

 private:
  bool inside_ = false;
  std::array<bool, SideStream::kMarks> open_{};
  int64_t num_entered_ = 0;
};

TEST_F(ModelRunnerTest, StepsInHalvesGiveTheSameBits) {
  const ModelConfig config = odd_config();
  RunnerLimits in_halves = kLimits;
  in_halves.overlap_tokens = 3;
  const auto make = [&](const RunnerLimits& limits, std::unique_ptr<Backend> backend) {
    return make_runner(config, world().size(), world().rank(), std::make_unique<HostCommunicator>(world(), 1 << 16), limits,
                       kBlocks, std::move(backend));
  };
  auto watched = std::make_unique<SideStreamWatch>();
  const SideStreamWatch& side = *watched;
  const auto whole = make(kLimits, make_cpu_backend(1)), halves = make(in_halves, std::move(watched));
  Scheduler scheduler(kSchedulerLimits);
  add_sequences(scheduler, 1, {});
  int64_t all_reduces = 0, plain_all_reduces = 0, odd_steps = 0;
  while (scheduler.has_work()) {
    const StepPlan plan = scheduler.schedule();
    const StepResult expected = whole->run(plan);
    const StepResult found = halves->run(plan);
    const bool halved = plan.num_tokens() >= in_halves.overlap_tokens && world().size() > 1;
    all_reduces += (halved ? 4 : 2) * config.num_layers + 1;
    plain_all_reduces += (halved ? 0 : 2) * config.num_layers + 1;
    odd_steps += halved && plan.num_tokens() % 2 == 1;
    ASSERT_FALSE(side.has_open_marks()) << "step " << plan.step << " ends before its last exchange";
    ASSERT_EQ(found.tokens, expected.tokens) << "step " << plan.step;
    ASSERT_EQ(found.logprobs.size(), expected.logprobs.size());
    for (size_t i = 0; i < found.logprobs.size(); ++i) {
      ASSERT_EQ(found.logprobs[i].chosen, expected.logprobs[i].chosen);
      for (int k = 0; k < 3; ++k) ASSERT_EQ(found.logprobs[i].top_logprob[k], expected.logprobs[i].top_logprob[k]);
    }
    const std::vector<Sequence*> sampled = scheduler.commit().sampled;
    for (size_t i = 0; i < sampled.size(); ++i) {
      scheduler.append(*sampled[i], found.tokens[i]);
      if (sampled[i]->finish != FinishReason::kNone) scheduler.remove(*sampled[i]);
    }
  }
  EXPECT_EQ(halves->communicator().counters().all_reduce_calls, all_reduces);
  // Two linears of each half of a layer go into an exchange on the side.
  EXPECT_EQ(side.num_entered(), world().size() > 1 ? all_reduces - plain_all_reduces : 0);
  if (world().size() > 1) {
    EXPECT_GT(odd_steps, 0) << "no step had halves of different sizes";
  }
}

// The outputs of each sequence, by id, with as many steps in flight as the runner takes.
std::map<int64_t, std::vector<int32_t>> run_all(ModelRunner& runner, int64_t& in_vain) {
  Scheduler scheduler(kSchedulerLimits);
  std::vector<int32_t> stops;
  for (int32_t token = 0; token < 131; token += 9) stops.push_back(token);
  add_sequences(scheduler, 4, stops);
  std::map<int64_t, std::vector<int32_t>> outputs;
  while (scheduler.has_work() || runner.num_in_flight() > 0) {
    while (runner.num_in_flight() < runner.max_in_flight()) {
      const StepPlan plan = scheduler.schedule();
      if (plan.sequences.empty()) break;
      runner.launch(plan);
    }
    const StepResult result = runner.wait();
    const std::vector<Sequence*> sampled = scheduler.commit().sampled;
    EXPECT_EQ(sampled.size(), result.tokens.size());
    for (size_t i = 0; i < sampled.size(); ++i) {
      if (sampled[i] == nullptr) {
        ++in_vain;
        continue;
      }
      outputs[sampled[i]->id].push_back(result.tokens[i]);
      scheduler.append(*sampled[i], result.tokens[i]);
      if (sampled[i]->finish != FinishReason::kNone) scheduler.remove(*sampled[i]);
    }
  }
  return outputs;
}

TEST_F(ModelRunnerTest, StepsInFlightAndPaddingChangeNoToken) {
  const ModelConfig config = odd_config();
  const auto in_turn = make_runner(config, 1, 0, nullptr, kLimits, kBlocks);
  const auto ahead = make_runner(config, 1, 0, nullptr, kLimits, kBlocks, std::make_unique<AheadBackend>());
  ASSERT_EQ(in_turn->max_in_flight(), 1u);
  ASSERT_EQ(ahead->max_in_flight(), 2u);
  int64_t none = 0, in_vain = 0;
  const auto expected = run_all(*in_turn, none);
  EXPECT_EQ(expected.size(), 4 * all_ways().size());
  EXPECT_EQ(run_all(*ahead, in_vain), expected);
  EXPECT_EQ(none, 0);
  EXPECT_GT(in_vain, 0) << "no sequence stopped while its next step was in flight, so the test shows less than it says";
}

}  // namespace
}  // namespace lockstep
