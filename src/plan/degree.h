// Whether a degree of tensor parallelism is possible for a model, how the heads and the weights fall, and what it wastes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/planned_model.h"

namespace lockstep {

struct Degree {
  int tp = 1;
  bool possible = true;
  std::string why_not;                       // where it is not
  int64_t most_heads = 0, fewest_heads = 0;  // query heads of a rank
  int64_t most_kv_heads = 0;                 // of a rank
  int64_t kv_heads_held = 0;                 // of all ranks together
  int64_t extra_kv_heads = 0;                // of them, beyond the model's own: replicated
  int64_t ranks_without_heads = 0;
  double heaviest_over_mean = 0.0;  // weights of the largest rank over the mean, less 1
  std::string waste;                // in words; empty: nothing
  // Every rank has as many query heads as any other, and no KV head is held twice.
  bool is_even() const { return possible && most_heads == fewest_heads && extra_kv_heads == 0; }
};

Degree judge_degree(const PlannedModel& model, int tp);

}  // namespace lockstep
