// rank_memory() against what the parts of a runner really allocate, byte for byte.
#include "engine/rank_memory.h"

#include <gtest/gtest.h>

#include <map>

#include "comm/communicator.h"
#include "engine/model_runner.h"

namespace lockstep {
namespace {

// The CPU backend, which also adds up what is asked of it.
class CountingBackend final : public Backend {
 public:
  explicit CountingBackend(std::map<std::string, int64_t>& bytes) : bytes_(bytes) {}
  DeviceKind kind() const override { return inner_->kind(); }
  std::string description() const override { return inner_->description(); }
  void* allocate(size_t bytes, const std::string& what) override {
    bytes_[what.starts_with("the KV cache")                      ? "kv"
           : what == "weights"                                   ? "weights"
           : what.starts_with("activations") || what == "logits" ? "activations"
                                                                 : "buffers"] += static_cast<int64_t>(bytes);
    return inner_->allocate(bytes, what);
  }
  void release(void* data) noexcept override { inner_->release(data); }
  void* allocate_host(size_t bytes) override { return inner_->allocate_host(bytes); }
  void release_host(void* data) noexcept override { inner_->release_host(data); }
  void copy_to_device(void* to, const void* from, size_t bytes) override { inner_->copy_to_device(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { inner_->copy_to_host(to, from, bytes); }
  void copy_on_device(void* to, const void* from, size_t bytes) override { inner_->copy_on_device(to, from, bytes); }
  void copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) override {
    inner_->copy_2d_on_device(to, to_pitch, from, from_pitch, width, height);
  }
  void set_zero(void* data, size_t bytes) override { inner_->set_zero(data, bytes); }
  void synchronize() override { inner_->synchronize(); }
  DType activation_dtype(DType weights) const override { return inner_->activation_dtype(weights); }
  MemoryInfo memory() const override { return inner_->memory(); }
  void* stream() const override { return nullptr; }
  Ops& ops() override { return inner_->ops(); }
  double measure_read_bandwidth(const void*, size_t) override { return 1.0; }
  double time_on_device(const std::function<void()>&, int) override { return 1.0; }

 private:
  std::map<std::string, int64_t>& bytes_;
  std::unique_ptr<Backend> inner_ = make_cpu_backend(1, "scalar");
};

ModelConfig small_model(bool biased) {
  ModelConfig config;
  config.architecture = biased ? "Qwen2ForCausalLM" : "Qwen3ForCausalLM";
  config.vocab_size = 1003;
  config.hidden_size = 72;
  config.intermediate_size = 200;
  config.num_layers = 3;
  config.num_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 12;
  config.max_position_embeddings = 512;
  config.qkv_bias = biased;
  config.qk_norm = !biased;
  config.tie_word_embeddings = !biased;
  return config;
}

class RankMemoryTest : public ::testing::TestWithParam<std::tuple<bool, DType, int>> {};

TEST_P(RankMemoryTest, IsWhatARunnerAllocates) {
  const auto [biased, dtype, tokens] = GetParam();
  const ModelConfig config = small_model(biased);
  const RunnerLimits limits{.max_num_seqs = 11, .max_num_batched_tokens = tokens, .max_model_len = 300};
  constexpr int64_t kBlocks = 37;

  std::map<std::string, int64_t> allocated;
  auto backend = std::make_unique<CountingBackend>(allocated);
  Partition partition = make_partition(config, 1, 0);
  const KvLayout kv = kv_layout(config, partition.share, dtype, 16);
  const RankMemory memory = rank_memory(config, partition, dtype, backend->activation_dtype(dtype), limits, kv);
  auto comm = make_null_communicator(*backend);
  auto weights = std::make_unique<Weights>(*backend, partition, dtype);
  fill_dummy(*weights, partition, 1, *backend);
  const ModelRunner runner(config, std::move(partition), std::move(backend), std::move(comm), std::move(weights), kv, kBlocks,
                           limits);

  EXPECT_EQ(memory.weights, allocated["weights"]);
  EXPECT_EQ(memory.activations, allocated["activations"]);
  EXPECT_EQ(memory.buffers, allocated["buffers"]);
  EXPECT_EQ(memory.kv_block * kBlocks, allocated["kv"]);
  EXPECT_GT(memory.weights, 0);
  EXPECT_GT(memory.buffers, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, RankMemoryTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(DType::kFloat32, DType::kBFloat16),
                                            ::testing::Values(16, 129)));

}  // namespace
}  // namespace lockstep
