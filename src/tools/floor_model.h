// FloorModel: the physical floor of a step: what its operations must at least move and compute, over what the device can.
#pragma once

#include <cstdint>
#include <vector>

#include "config/model_config.h"
#include "partition/partition.h"
#include "plan/step_shape.h"

namespace lockstep {

// What one rank can do.
struct DeviceRates {
  double bandwidth = 0.0;  // bytes/s read
  double flops = 0.0;      // FLOP/s of a GEMM
};

// Bytes and FLOPs of one operation of a step on one rank.
struct OpCost {
  double weight_bytes = 0.0;  // weights, read once however many tokens
  double kv_bytes = 0.0;
  double flops = 0.0;  // a multiplication and an addition are two
};

class FloorModel {
 public:
  // rates: by rank. The sizes are bytes of an element of the weights and of the KV cache.
  FloorModel(const ModelConfig& config, std::vector<DeviceRates> rates, size_t weight_size, size_t kv_size);

  // Seconds of a step on the rank that takes longest: the sum over operations of max(bytes / bandwidth, FLOPs / rate). The
  // linears, attention and the LM head count; norms, embedding, activations, sampling and AllReduces do not.
  double step_seconds(const StepShape& shape) const;
  // Seconds of `steps` steps that ask for `all` together, on the rank that takes longest: max(all bytes / bandwidth, all FLOPs /
  // rate).
  double run_seconds(const StepShape& all, int64_t steps) const;

  struct Totals {
    double bytes = 0.0;
    double flops = 0.0;
  };
  // Of the rank that does most of each.
  Totals totals(const StepShape& all, int64_t steps) const;

  const std::vector<DeviceRates>& rates() const { return rates_; }

 private:
  // The operations of a step: one entry each, those of a layer once a layer.
  std::vector<OpCost> costs(const RankShare& share, const StepShape& shape) const;
  Totals totals(const RankShare& share, const StepShape& all, int64_t steps) const;

  const ModelConfig config_;
  std::vector<DeviceRates> rates_;
  std::vector<RankShare> shares_;  // by rank
  double weight_size_;
  double kv_size_;
};

}  // namespace lockstep
