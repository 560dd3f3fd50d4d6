// The engine over all ranks, in float32: what must not change a token does not, and requests get what they ask for.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include "base/error.h"
#include "comm/host_communicator.h"
#include "mpi/odd_model.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

struct Continuation {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  FinishReason finish = FinishReason::kNone;
  bool operator==(const Continuation&) const = default;
};
// By request and continuation.
using Outputs = std::map<std::pair<int64_t, int32_t>, Continuation>;

struct Way {
  bool caching = true;
  bool ahead = false;  // two steps in flight
  int64_t num_blocks = 200;
};

class EngineTest : public WorldFixture {
 protected:
  static std::unique_ptr<ModelRunner> open_runner(const Way& way) {
    constexpr RunnerLimits kLimits{.max_num_seqs = 6, .max_num_batched_tokens = 24, .max_model_len = 64};
    std::unique_ptr<Backend> backend = make_cpu_backend(1);
    if (way.ahead) backend = std::make_unique<AheadBackend>();
    return make_runner(odd_config(), world().size(), world().rank(), std::make_unique<HostCommunicator>(world(), 1 << 16),
                       kLimits, way.num_blocks, std::move(backend));
  }
  // Runs `body` on rank 0 with an engine over all ranks; the others serve it.
  void with_engine(const Way& way, const std::function<void(Engine&)>& body) {
    const auto runner = open_runner(way);
    EngineOptions options;
    options.enable_prefix_caching = way.caching;
    if (!world().is_root()) return serve_rank(world(), *runner, options);
    Engine engine(world(), *runner, options, nullptr);
    body(engine);
    engine.shutdown();
  }

  static void take(const std::vector<SequenceOutput>& step, Outputs& outputs) {
    for (const SequenceOutput& output : step) {
      Continuation& c = outputs[{output.id, output.index}];
      ASSERT_EQ(c.finish, FinishReason::kNone) << "something came after the end";
      if (output.token >= 0) c.tokens.push_back(output.token);
      if (output.logprobs) c.logprobs.push_back(output.logprobs->logprob);
      c.finish = output.finish;
    }
  }

  static Outputs run_all(Engine& engine) {
    Outputs outputs;
    while (engine.has_work()) take(engine.step(), outputs);
    return outputs;
  }
};

// Prompts that begin alike, sampled in several ways.
void add_requests(Engine& engine) {
  std::mt19937 random(3);
  std::vector<int32_t> common;
  for (int i = 0; i < 24; ++i) common.push_back(static_cast<int32_t>(random() % 131));
  for (size_t i = 0; i < 24; ++i) {
    std::vector<int32_t> prompt(common.begin(), common.begin() + static_cast<ptrdiff_t>(4 + 5 * i % 21));
    for (size_t more = random() % 9; more > 0; --more) prompt.push_back(static_cast<int32_t>(random() % 131));
    SamplingParams params;
    params.seed = 50 + i;
    params.max_tokens = 4 + static_cast<int32_t>(i);
    params.temperature = i % 3 == 0 ? 0.0f : 0.9f;
    params.top_k = i % 4 == 1 ? 9 : 0;
    params.repetition_penalty = i % 5 == 2 ? 1.3f : 1.0f;
    params.logprobs = i % 2 == 0 ? 2 : -1;
    params.stop_token_ids = {static_cast<int32_t>(i), 100};
    params.logit_bias = {{5, -std::numeric_limits<float>::infinity()}, {77, 1.5f}};
    params.n = i % 6 == 5 ? 3 : 1;
    engine.add(std::move(prompt), params, {.priority = static_cast<int32_t>(i % 2)});
  }
}

void expect_same(const Outputs& found, const Outputs& expected, const char* what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (const auto& [id, e] : expected) {
    const Continuation& f = found.at(id);
    ASSERT_EQ(f.tokens, e.tokens) << what << ": request " << id.first << ", continuation " << id.second;
    ASSERT_EQ(f.finish, e.finish) << what;
    ASSERT_EQ(f.logprobs.size(), e.logprobs.size()) << what;
    for (size_t i = 0; i < e.logprobs.size(); ++i) ASSERT_NEAR(f.logprobs[i], e.logprobs[i], 1e-5) << what;
  }
}

TEST_F(EngineTest, NeitherCachingNorPreemptionNorStepsInFlightChangeAToken) {
  Outputs expected;
  with_engine({.caching = false}, [&](Engine& engine) {
    add_requests(engine);
    expected = run_all(engine);
    EXPECT_EQ(engine.stats().num_preemptions, 0);
    EXPECT_GT(engine.stats().num_stopped, 0);
    EXPECT_GT(engine.stats().num_at_length, 0);
  });
  for (const bool caching : {false, true}) {
    for (const bool ahead : {false, true}) {
      for (const int64_t blocks : {17, 200}) {
        with_engine({caching, ahead, blocks}, [&](Engine& engine) {
          add_requests(engine);
          const Outputs found = run_all(engine);
          const EngineStats stats = engine.stats();
          expect_same(found, expected, caching ? "with prefix caching" : "without prefix caching");
          EXPECT_EQ(stats.num_preemptions > 0, blocks == 17) << "else the test shows nothing";
          EXPECT_GT(stats.prefix_hits, 0) << "continuations share the prompt in any case";
          EXPECT_EQ(stats.num_blocks_used, 0);
          EXPECT_EQ(stats.num_running + stats.num_waiting, 0);
        });
      }
    }
  }
}

// On a GPU nobody waits for a rank that has done one collective more or less than the others; the next step tells.
TEST_F(EngineTest, ARankThatIsInAnotherCollectiveIsNoticed) {
  const auto runner = open_runner({});
  EngineOptions options;
  if (world().is_root()) {
    Engine(world(), *runner, options, nullptr).shutdown();
  } else if (world().rank() == 1) {
    runner->communicator().count({.all_reduce_calls = 1});
    try {
      serve_rank(world(), *runner, options);
      ADD_FAILURE() << "it went on";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("rank 1"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("not in the same collective"), std::string::npos) << e.what();
    }
  } else {
    serve_rank(world(), *runner, options);
  }
}

TEST_F(EngineTest, ContinuationsAreThoseOfSeparateRequests) {
  const std::vector<int32_t> prompt = {9, 8, 7, 6, 5, 4, 3, 2, 1};
  SamplingParams params;
  params.temperature = 1.0f;
  params.max_tokens = 12;
  Outputs apart, together;
  for (const bool caching : {false, true}) {
    with_engine({.caching = caching}, [&](Engine& engine) {
      for (uint64_t i = 0; i < 4; ++i) {
        params.n = 1;
        params.seed = 11 + i;
        engine.add(prompt, params);
      }
      apart = run_all(engine);
    });
    with_engine({.caching = caching}, [&](Engine& engine) {
      params.n = 4;
      params.seed = 11;
      engine.add(prompt, params);
      together = run_all(engine);
      EXPECT_EQ(engine.stats().prefix_hits, 3 * 8) << "all but the first share two blocks of four tokens";
      EXPECT_EQ(engine.stats().prompt_tokens, 9);
    });
    if (!world().is_root()) continue;
    ASSERT_EQ(together.size(), 4u);
    for (int32_t i = 0; i < 4; ++i) EXPECT_EQ((together.at({0, i}).tokens), (apart.at({i, 0}).tokens)) << i;
    EXPECT_NE((together.at({0, 0}).tokens), (together.at({0, 1}).tokens));
  }
}

TEST_F(EngineTest, CancelledAndLateRequestsEndAtOnceAndTouchNoOther) {
  Outputs expected;
  with_engine({}, [&](Engine& engine) {
    add_requests(engine);
    expected = run_all(engine);
  });
  for (const bool ahead : {false, true}) {
    with_engine({.ahead = ahead}, [&](Engine& engine) {
      add_requests(engine);
      SamplingParams params;
      const int64_t late = engine.add({1, 2, 3}, params, {.timeout = Seconds(0.0)});
      Outputs found;
      int64_t next = 0;
      while (engine.has_work()) {
        take(engine.step(), found);
        if (next > 23) continue;
        const EngineStats before = engine.stats();
        const bool lived = engine.cancel(next);
        EXPECT_FALSE(engine.cancel(next));
        const EngineStats after = engine.stats();
        EXPECT_EQ(after.num_running + after.num_waiting < before.num_running + before.num_waiting, lived);
        next += 3;
      }
      EXPECT_EQ((found.at({late, 0}).finish), FinishReason::kTimeout);
      found.erase({late, 0});
      EXPECT_EQ(engine.stats().num_timed_out, 1);
      EXPECT_GT(engine.stats().num_cancelled, 3);
      EXPECT_EQ(engine.stats().num_blocks_used, 0);
      for (const auto& [id, e] : expected) {
        if (id.first % 3 != 0) {
          ASSERT_EQ(found.at(id), e) << id.first;
        } else if (found.count(id) > 0) {  // as far as it got
          const std::vector<int32_t>& tokens = found.at(id).tokens;
          ASSERT_LE(tokens.size(), e.tokens.size());
          ASSERT_TRUE(std::equal(tokens.begin(), tokens.end(), e.tokens.begin()));
        }
      }
    });
  }
}

TEST_F(EngineTest, LogProbabilitiesOfAPromptAreThoseOfProducingIt) {
  const std::vector<int32_t> prompt = {9, 8, 7, 6, 5, 4, 3};
  for (const bool ahead : {false, true}) {
    with_engine({.ahead = ahead}, [&](Engine& engine) {
      SamplingParams params;
      params.max_tokens = 40;
      params.logprobs = 3;
      engine.add(prompt, params);
      std::vector<int32_t> longer = prompt;
      std::vector<TokenLogprobs> produced;
      while (engine.has_work()) {
        for (const SequenceOutput& output : engine.step()) {
          longer.push_back(output.token);
          produced.push_back(output.logprobs.value());
        }
      }
      // Longer than the token budget, and others beside it.
      add_requests(engine);
      params.prompt_logprobs = 2;
      params.n = 2;
      const int64_t id = engine.add(longer, params, {.priority = 9});
      std::vector<TokenLogprobs> scored;
      while (engine.has_work()) {
        for (const SequenceOutput& output : engine.step()) {
          if (output.prompt_logprobs.empty()) continue;
          EXPECT_EQ(output.id, id);
          EXPECT_TRUE(scored.empty());
          scored = output.prompt_logprobs;
        }
      }
      ASSERT_EQ(scored.size(), longer.size() - 1);
      for (size_t i = 0; i < produced.size(); ++i) {
        const TokenLogprobs& s = scored[prompt.size() - 1 + i];
        ASSERT_NEAR(s.logprob, produced[i].logprob, 1e-5) << i;
        ASSERT_EQ(s.top.size(), 2u);
        ASSERT_EQ(s.top[0].token, produced[i].top[0].token);
        ASSERT_NEAR(s.top[1].logprob, produced[i].top[1].logprob, 1e-5);
      }
    });
  }
}

TEST_F(EngineTest, ABiasForcesATokenAndNonsenseIsRefused) {
  with_engine({}, [&](Engine& engine) {
    SamplingParams params;
    params.max_tokens = 5;
    params.temperature = 1.0f;
    params.logit_bias = {{42, 100.0f}};
    engine.add({1, 2, 3}, params);
    EXPECT_EQ((run_all(engine).at({0, 0}).tokens), std::vector<int32_t>(5, 42));
    params.logit_bias = {{131, 1.0f}};
    EXPECT_THROW(engine.add({1}, params), Error);
    params.logit_bias = {{1, std::nanf("")}};
    EXPECT_THROW(engine.add({1}, params), Error);
    params.logit_bias = {};
    params.n = 0;
    EXPECT_THROW(engine.add({1}, params), Error);
    params.n = 1;
    params.prompt_logprobs = 21;
    EXPECT_THROW(engine.add({1}, params), Error);
    EXPECT_FALSE(engine.has_work());
  });
}

}  // namespace
}  // namespace lockstep
