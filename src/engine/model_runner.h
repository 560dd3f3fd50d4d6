// ModelRunner: one rank's part of the model, and the execution of StepPlans on it. Every rank has one; it decides nothing.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "comm/communicator.h"
#include "config/model_config.h"
#include "engine/decode_graphs.h"
#include "engine/sampler.h"
#include "engine/staging.h"
#include "engine/step_inputs.h"
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
  std::vector<LogprobResult> prompt_logprobs;  // in the plan's order, of each token that they were wanted of
};

struct RunnerLimits {
  int32_t max_num_seqs = 0;
  int64_t max_num_batched_tokens = 0;
  int64_t max_model_len = 0;
  int64_t overlap_tokens = 0;  // of a step that runs in two halves, at least; 0: none does
};

// Memory of this rank's device, in bytes, as the device reports it; of the CPU, zeros.
struct DeviceMemory {
  int64_t total = 0;
  int64_t used_before_weights = 0;  // context, the backend's workspace, collectives, other processes
  int64_t used_before_steps = 0;    // everything but what the first steps of each kind add: kernels loaded late, CUDA graphs
};

class ModelRunner {
 public:
  // Takes the parts that bring_up() made, and allocates activations, KV cache and sampling buffers.
  ModelRunner(ModelConfig config, Partition partition, std::unique_ptr<Backend> backend, std::unique_ptr<Communicator> comm,
              std::unique_ptr<Weights> weights, const KvLayout& kv, int64_t num_kv_blocks, const RunnerLimits& limits);
  // With an exception on its way out, ends what a device still waits for: freeing memory would wait for that, and it for ranks
  // that may never come.
  ~ModelRunner();
  // Bytes of the device buffers that are the runner's own: step inputs, hidden states to sample from, rotary frequencies.
  static size_t buffer_bytes(const ModelConfig& config, DType act, const RunnerLimits& limits);

  // Issues the step. Where the device is asynchronous, max_in_flight() steps may be in flight at once; plans may then name tokens
  // that steps in flight will produce.
  void launch(const StepPlan& plan);
  // Waits for the oldest step in flight. Every rank gets the same tokens.
  StepResult wait();
  // Both.
  StepResult run(const StepPlan& plan);
  size_t num_in_flight() const { return in_flight_.size(); }
  size_t max_in_flight() const { return backend_->is_asynchronous() ? results_.size() : 1; }

  const ModelConfig& config() const { return config_; }
  const Partition& partition() const { return partition_; }
  const RunnerLimits& limits() const { return limits_; }
  const KvCache& cache() const { return cache_; }
  const Weights& weights() const { return *weights_; }
  const Decoder& decoder() const { return decoder_; }
  // As bring_up() found it.
  const DeviceMemory& device_memory() const { return device_memory_; }
  void set_device_memory(const DeviceMemory& memory) { device_memory_ = memory; }
  size_t num_graphs() const { return graphs_.size(); }
  Backend& backend() { return *backend_; }
  Communicator& communicator() { return *comm_; }

 private:
  // Where a step's results come to on the host; steps take turns.
  struct HostResults {
    int32_t* tokens = nullptr;                 // pinned, [max_num_seqs]
    LogprobResult* logprobs = nullptr;         // pinned, [max_num_seqs]
    LogprobResult* prompt_logprobs = nullptr;  // pinned, [max_num_batched_tokens]; made when first needed
    std::unique_ptr<StreamMark> arrived;
  };
  struct InFlight {
    int64_t step = 0;
    std::vector<int32_t> slots;  // of the sequences that sample
    std::vector<int32_t> logprob_index;
    int32_t num_logprobs = 0;
    size_t num_prompt_logprobs = 0;
    HostResults* results = nullptr;
  };

  // Up to the logits; returns the hidden states of all query tokens.
  TensorView run_forward(const StepInputs& in, int64_t max_context_len);
  void sample(const StepInputs& in);
  void score_prompts(const StepInputs& in, TensorView hidden, HostResults& results);
  BatchView batch_view(const StepInputs& in, int64_t max_context_len) const;

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
  Buffer sample_hidden_;  // [max_num_seqs, H] act: the rows that sample, or are scored
  std::vector<Slot> slots_;
  DecodeGraphs graphs_;
  DeviceMemory device_memory_;
  std::array<HostResults, 2> results_;
  size_t next_results_ = 0;
  std::deque<InFlight> in_flight_;
  const int exceptions_at_start_ = std::uncaught_exceptions();
};

}  // namespace lockstep
