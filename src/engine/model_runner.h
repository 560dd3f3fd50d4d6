// ModelRunner: one rank's part of the model, and the execution of StepPlans on it. Every rank has one; it decides nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "comm/communicator.h"
#include "config/model_config.h"
#include "engine/sampler.h"
#include "engine/staging.h"
#include "engine/step_plan.h"
#include "kernels/backend.h"
#include "model/decoder.h"
#include "partition/partition.h"
#include "weights/weights.h"

namespace lockstep {

// What a step produced, one entry per sampling sequence in the plan's order.
struct StepResult {
  std::vector<int32_t> tokens;
  // Aligned with tokens; index into logprobs, or -1 where the sequence asked for none.
  std::vector<int32_t> logprob_index;
  std::vector<LogprobResult> logprobs;
};

struct RunnerLimits {
  int32_t max_num_seqs = 0;
  int64_t max_num_batched_tokens = 0;
  int64_t max_model_len = 0;
};

class ModelRunner {
 public:
  // Takes the parts that bring_up() made, and allocates activations, KV cache and sampling buffers.
  ModelRunner(ModelConfig config, Partition partition, std::unique_ptr<Backend> backend, std::unique_ptr<Communicator> comm,
              std::unique_ptr<Weights> weights, const KvLayout& kv, int64_t num_kv_blocks, const RunnerLimits& limits);
  ~ModelRunner();

  // Runs the step and waits for it. Every rank gets the same tokens.
  StepResult run(const StepPlan& plan);

  const ModelConfig& config() const { return config_; }
  const Partition& partition() const { return partition_; }
  const RunnerLimits& limits() const { return limits_; }
  const KvCache& cache() const { return cache_; }
  const Weights& weights() const { return *weights_; }
  const Decoder& decoder() const { return decoder_; }
  Backend& backend() { return *backend_; }
  Communicator& communicator() { return *comm_; }

 private:
  struct Slot {
    SlotSampling sampling;
    std::vector<int32_t> blocks;  // host copy of the block table
  };
  // The plan as arrays, placed in staging_.
  struct Inputs;
  Inputs stage(const StepPlan& plan);
  void apply_setups(const StepPlan& plan, const Inputs& inputs);
  void apply_blocks(const StepPlan& plan, const Inputs& inputs);
  void add_sampling_row(const PlannedSequence& sequence, Inputs& inputs) const;

  ModelConfig config_;
  Partition partition_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> comm_;
  std::unique_ptr<Weights> weights_;
  RunnerLimits limits_;
  KvCache cache_;
  Decoder decoder_;
  Sampler sampler_;
  Staging staging_;
  Buffer sample_hidden_;  // [max_num_seqs, H] act: the rows that sample
  std::vector<Slot> slots_;
  int32_t* host_tokens_ = nullptr;          // pinned, [max_num_seqs]
  LogprobResult* host_logprobs_ = nullptr;  // pinned, [max_num_seqs]
};

}  // namespace lockstep
