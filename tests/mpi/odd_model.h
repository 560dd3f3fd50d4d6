// A small model for tests, of random weights, and a backend that the host runs ahead of.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "comm/communicator.h"
#include "engine/model_runner.h"
#include "kernels/backend.h"

namespace lockstep {

// Sizes that nothing divides: 5 query heads over 1 KV head, an FFN of 3 units, a short last vocabulary unit.
inline ModelConfig odd_config() {
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

// comm: null for one rank.
inline std::unique_ptr<ModelRunner> make_runner(const ModelConfig& config, int tp, int rank, std::unique_ptr<Communicator> comm,
                                                const RunnerLimits& limits, int64_t num_blocks,
                                                std::unique_ptr<Backend> backend = make_cpu_backend(1)) {
  if (comm == nullptr) comm = make_null_communicator(*backend);
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
                                       num_blocks, limits);
}

// The CPU in the guise of a device that the host runs ahead of: decode steps are padded, and two are in flight.
class AheadBackend : public Backend {
 public:
  DeviceKind kind() const override { return cpu_->kind(); }
  std::string description() const override { return cpu_->description(); }
  void* allocate(size_t bytes, const std::string& what) override { return cpu_->allocate(bytes, what); }
  void release(void* data) noexcept override { cpu_->release(data); }
  void* allocate_host(size_t bytes) override { return cpu_->allocate_host(bytes); }
  void release_host(void* data) noexcept override { cpu_->release_host(data); }
  void copy_to_device(void* to, const void* from, size_t bytes) override { cpu_->copy_to_device(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { cpu_->copy_to_host(to, from, bytes); }
  void copy_on_device(void* to, const void* from, size_t bytes) override { cpu_->copy_on_device(to, from, bytes); }
  void copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) override {
    cpu_->copy_2d_on_device(to, to_pitch, from, from_pitch, width, height);
  }
  void set_zero(void* data, size_t bytes) override { cpu_->set_zero(data, bytes); }
  void synchronize() override { cpu_->synchronize(); }
  bool is_asynchronous() const override { return true; }
  DType activation_dtype(DType weights) const override { return cpu_->activation_dtype(weights); }
  MemoryInfo memory() const override { return cpu_->memory(); }
  void* stream() const override { return cpu_->stream(); }
  Ops& ops() override { return cpu_->ops(); }
  double measure_read_bandwidth(const void* data, size_t bytes) override { return cpu_->measure_read_bandwidth(data, bytes); }
  double time_on_device(const std::function<void()>& work, int repeats) override { return cpu_->time_on_device(work, repeats); }

 private:
  std::unique_ptr<Backend> cpu_ = make_cpu_backend(1);
};

}  // namespace lockstep
