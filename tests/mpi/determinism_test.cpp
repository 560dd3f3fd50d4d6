// The same requests give the same bits, whatever the timing: on one host, and on two that are only pretended.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "comm/host_communicator.h"
#include "engine/engine.h"
#include "mpi/odd_model.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

// Sleeps for a random time before every collective, another one on every rank and in every run.
class NoisyCommunicator final : public Communicator {
 public:
  NoisyCommunicator(std::unique_ptr<Communicator> inner, uint32_t seed)
      : inner_(std::move(inner)), random_(seed * 97 + static_cast<uint32_t>(inner_->rank())) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string description() const override { return inner_->description(); }
  void begin_step(int64_t step) override { inner_->begin_step(step); }

 protected:
  void do_all_reduce(TensorView x) override {
    sleep();
    inner_->all_reduce(x);
  }
  void do_all_gather(void* recv, const void* send, size_t bytes) override {
    sleep();
    inner_->all_gather(recv, send, bytes);
  }

 private:
  void sleep() {
    if (random_() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random_() % 400));
  }
  std::unique_ptr<Communicator> inner_;
  std::mt19937 random_;
};

// Everything that a run hands out, in order, floats as their bits.
using Record = std::vector<int64_t>;

int64_t bits(float x) {
  uint32_t word = 0;
  std::memcpy(&word, &x, sizeof(word));
  return word;
}

class DeterminismTest : public WorldFixture {
 protected:
  Record run(std::optional<uint32_t> noise, bool two_hosts) {
    constexpr RunnerLimits kLimits{.max_num_seqs = 5, .max_num_batched_tokens = 20, .max_model_len = 64};
    std::optional<int> node;
    if (two_hosts) node = world().rank() * 2 / world().size();
    std::unique_ptr<Communicator> comm = std::make_unique<HostCommunicator>(world(), 1 << 16, node);
    if (noise) comm = std::make_unique<NoisyCommunicator>(std::move(comm), *noise);
    const auto runner = make_runner(odd_config(), world().size(), world().rank(), std::move(comm), kLimits, /*num_blocks=*/60);
    const EngineOptions options;
    Record record;
    if (!world().is_root()) {
      serve_rank(world(), *runner, options);
      return record;
    }
    Engine engine(world(), *runner, options, nullptr);
    std::mt19937 random(5);
    for (int i = 0; i < 12; ++i) {
      std::vector<int32_t> prompt;
      for (int k = 0; k < 3 + i * 2; ++k) prompt.push_back(static_cast<int32_t>(random() % 131));
      SamplingParams params;
      params.seed = static_cast<uint64_t>(i);
      params.temperature = i % 2 == 0 ? 0.0f : 1.0f;
      params.max_tokens = 6 + i;
      params.logprobs = 3;
      params.prompt_logprobs = i % 3 == 0 ? 2 : -1;
      params.ignore_eos = true;
      engine.add(std::move(prompt), params);
    }
    const auto take = [&](const TokenLogprobs& t) {
      record.push_back(bits(t.logprob));
      for (const auto& top : t.top) record.insert(record.end(), {top.token, bits(top.logprob)});
    };
    while (engine.has_work()) {
      for (const SequenceOutput& out : engine.step()) {
        record.insert(record.end(), {out.id, out.index, out.token});
        if (out.logprobs) take(*out.logprobs);
        for (const TokenLogprobs& t : out.prompt_logprobs) take(t);
      }
    }
    engine.shutdown();
    return record;
  }
};

TEST_F(DeterminismTest, TimingChangesNoBit) {
  for (const bool two_hosts : {false, true}) {
    if (two_hosts && world().size() == 1) continue;
    const Record expected = run({}, two_hosts);
    for (const uint32_t seed : {1u, 2u, 3u}) {
      const Record found = run(seed, two_hosts);
      if (!world().is_root()) continue;
      EXPECT_GT(expected.size(), 500u);
      EXPECT_TRUE(found == expected) << "a run under noise " << seed << " differs" << (two_hosts ? " on two hosts" : "");
    }
  }
}

}  // namespace
}  // namespace lockstep
