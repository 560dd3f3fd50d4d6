// The whole model at the world's size against the whole model on one rank: every rank builds both from the same dummy weights,
// runs the same plans, and wants the same tokens, close log-probabilities, and exactly the documented number of AllReduces.
#include "engine/model_runner.h"

#include <gtest/gtest.h>

#include "comm/host_communicator.h"
#include "engine/scheduler.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

// A world of its own, for the reference.
class OneRank : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string description() const override { return "one rank"; }

 protected:
  void do_all_reduce(TensorView) override {}
  void do_all_gather(void* recv, const void* send, size_t bytes) override { std::memcpy(recv, send, bytes); }
};

// Sizes that nothing divides: 5 query heads over 1 KV head, an FFN of 3 units, a short last vocabulary unit.
ModelConfig odd_config() {
  ModelConfig c;
  c.architecture = "Qwen3ForCausalLM";
  c.vocab_size = 131;
  c.hidden_size = 36;
  c.intermediate_size = 41;
  c.num_layers = 3;
  c.num_heads = 5;
  c.num_kv_heads = 1;
  c.head_dim = 10;
  c.max_position_embeddings = 128;
  c.qkv_bias = c.o_bias = c.mlp_bias = c.qk_norm = true;
  c.dtype = DType::kFloat32;
  return c;
}

constexpr int64_t kBlocks = 40;
constexpr RunnerLimits kLimits{.max_num_seqs = 6, .max_num_batched_tokens = 24, .max_model_len = 64};

std::unique_ptr<ModelRunner> make_runner(const ModelConfig& config, int tp, int rank, std::unique_ptr<Communicator> comm) {
  auto backend = make_cpu_backend(1);
  Partition partition = make_partition(config, tp, rank);
  auto weights = std::make_unique<Weights>(*backend, partition, DType::kFloat32);
  fill_dummy(*weights, partition, /*seed=*/7, *backend);
  KvLayout kv;
  kv.num_layers = config.num_layers;
  kv.kv_heads = partition.share.kv_heads.size();
  kv.head_dim = config.head_dim;
  kv.block_size = 4;
  kv.dtype = DType::kFloat32;
  return std::make_unique<ModelRunner>(config, std::move(partition), std::move(backend), std::move(comm), std::move(weights), kv,
                                       kBlocks, kLimits);
}

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

class ModelRunnerTest : public WorldFixture {};

TEST_F(ModelRunnerTest, AnyNumberOfRanksGivesTheTokensOfOne) {
  const ModelConfig config = odd_config();
  const auto full = make_runner(config, 1, 0, std::make_unique<OneRank>());
  const auto shared = make_runner(config, world().size(), world().rank(), std::make_unique<HostCommunicator>(world(), 1 << 16));

  Scheduler scheduler({.max_num_seqs = kLimits.max_num_seqs,
                       .max_num_batched_tokens = kLimits.max_num_batched_tokens,
                       .max_model_len = kLimits.max_model_len,
                       .block_size = 4,
                       .num_blocks = kBlocks});
  const std::vector<SamplingParams> ways = all_ways();
  for (size_t i = 0; i < ways.size(); ++i) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = static_cast<int64_t>(i);
    for (size_t t = 0; t < 3 + 9 * i; ++t) sequence->tokens.push_back(static_cast<int32_t>((17 * i + 5 * t) % 131));
    sequence->prompt_len = sequence->length();
    sequence->max_len = std::min<int64_t>(sequence->prompt_len + ways[i].max_tokens, kLimits.max_model_len);
    sequence->seed = 100 + i;
    sequence->params = ways[i];
    sequence->stop_tokens = ways[i].stop_token_ids;
    scheduler.add(std::move(sequence));
  }
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
    const std::vector<Sequence*> sampled = scheduler.commit();
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

}  // namespace
}  // namespace lockstep
