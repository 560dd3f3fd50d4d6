// What one rank of a planned model holds: the parameters of the partition that the loader fills, with those of experts and latent
// attention in the place of the dense ones, and their bytes in the format of the plan.
#pragma once

#include <cstdint>
#include <vector>

#include "partition/partition.h"
#include "plan/planned_model.h"

namespace lockstep {

// Columns of the FFN that stay together: the partition's unit, or the quantization group where that is larger.
int64_t ffn_unit(const PlannedModel& model);

// This rank's share of the model.
RankShare planned_share(const PlannedModel& model, int tp, int rank);

struct PlannedParameter {
  Parameter parameter;
  bool quantized = false;  // kept in the model's format; else in its base dtype
};
// As Partition::parameters, of a model all of whose layers are here.
std::vector<PlannedParameter> rank_parameters(const PlannedModel& model, int tp, int rank);

// Bytes of [rows, cols] in the model's format: the elements, and of a quantized one the scales and zeros (16-bit scale and a zero
// of the element's width for each group; one float32 for each row where there are no groups).
int64_t parameter_bytes(const PlannedModel& model, const PlannedParameter& p);

// Bytes of all parameters of the rank in device memory, as Weights allocates them.
int64_t rank_weight_bytes(const PlannedModel& model, int tp, int rank);

// The model that the busiest of `stages` pipeline stages holds: its layers, and the embedding or the LM head.
PlannedModel stage_of(const PlannedModel& model, int stages);

// Bytes of K and V of one token of all layers on the rank.
int64_t kv_bytes_per_token(const PlannedModel& model, const RankShare& share);

}  // namespace lockstep
