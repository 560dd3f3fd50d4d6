// How long a step takes: the sum over its operations of max(bytes / bandwidth, FLOPs / rate), what each kernel costs beside its
// work, and two AllReduces a layer of latency + volume / link bandwidth. The efficiencies are the device's (hardware.h), never a
// model's.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/hardware.h"
#include "plan/planned_model.h"
#include "plan/step_shape.h"

namespace lockstep {

// The devices of a job and how they are joined.
struct Cluster {
  Gpu gpu;
  int gpus_per_node = 8;
  int nodes = 1;
  Link node_link;     // inside a node
  Link beyond_group;  // inside a node, beyond gpu.max_gpus_per_link_group
  Link network;       // between nodes
  int nics_per_node = 1;
  int total() const { return gpus_per_node * nodes; }
  // The link that joins `tp` ranks which lie side by side: of those involved, the narrowest.
  const Link& link_for(int tp) const;
  bool is_direct(int tp) const { return tp <= gpus_per_node && link_for(tp).direct; }
};

// One AllReduce of `bytes` over `tp` ranks: a ring's volume, 2 (tp - 1) / tp * bytes, each direction of every link.
double all_reduce_volume(double bytes, int tp);
double all_reduce_seconds(const Cluster& cluster, double bytes, int tp);

// Bytes that two AllReduces a layer send over a rank's link for one token: 2 * layers * 2 (tp - 1) / tp * hidden * element.
double link_bytes_per_token(const PlannedModel& model, int tp);

// Seconds, of the rank that takes longest.
struct StepTime {
  double linears = 0.0;  // LM head included
  double attention = 0.0;
  double elementwise = 0.0;  // memory traffic of activations between the linears, and logits
  double kernels = 0.0;      // starts of kernels
  double all_reduce = 0.0;
  double total() const { return linears + attention + elementwise + kernels + all_reduce; }
  double all_reduce_share() const { return total() > 0.0 ? all_reduce / total() : 0.0; }
  StepTime& operator+=(const StepTime& other);
};

class StepTimeModel {
 public:
  StepTimeModel(const PlannedModel& model, const Cluster& cluster, int tp);

  StepTime step(const StepShape& shape) const;
  // A decode step of `batch` sequences of `context` tokens.
  StepTime decode(double batch, double context) const { return step(StepShape::decode(batch, context)); }
  // `batch` prompts of `length` tokens that come together, `budget` tokens a step.
  StepTime prefill(int64_t batch, int64_t length, int64_t budget) const;

 private:
  struct Linear {
    double rows_of_weights = 0.0;  // output features
    double columns = 0.0;          // input features
    double weight_bytes = 0.0;
    bool dense_mlp = false;  // absent from layers with experts
  };
  // One rank's layer, as the step reads it.
  struct RankCosts {
    std::vector<Linear> linears;         // of a dense layer, or the attention of one with experts
    std::vector<Linear> expert_linears;  // of one expert, dealt to this rank
    std::vector<Linear> shared_linears;  // of what every token meets in a layer with experts
    Linear lm_head;
    double kv_bytes_per_token = 0.0;  // of all layers
    double attention_width = 0.0;     // multiply-adds of q·k and p·v a pair of tokens and layer
    double elementwise_bytes = 0.0;   // of one token and layer, beside what linears read and write
    double vocab = 0.0;
  };
  RankCosts costs_of(int rank) const;
  StepTime step_of(const RankCosts& rank, const StepShape& shape) const;
  double linear_seconds(const Linear& linear, double tokens) const;
  double kernel_seconds(double tokens) const;
  bool fuses_silu_mul() const;  // in gate_up, whatever the number of tokens

  PlannedModel model_;
  Cluster cluster_;
  int tp_;
  std::vector<RankCosts> ranks_;
};

// The same degree in each of `stages` pipeline stages, with as many micro-batches in flight.
struct PipelineTime {
  double token_seconds = 0.0;      // from one token of a sequence to its next
  double tokens_per_second = 0.0;  // of the batch
};
PipelineTime pipeline_decode(const StepTimeModel& whole, const Cluster& cluster, const PlannedModel& model, int tp, int stages,
                             double batch, double context);
// Seconds of the prefill.
double pipeline_prefill(const StepTimeModel& whole, const Cluster& cluster, const PlannedModel& model, int tp, int stages,
                        int64_t batch, int64_t length, int64_t budget);

}  // namespace lockstep
