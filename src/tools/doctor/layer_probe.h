// A model of one layer, run by each rank alone and by all together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "kernels/backend.h"
#include "tools/doctor/job.h"

namespace lockstep::doctor {

struct LayerResult {
  std::vector<float> logprobs;  // of a fixed text's tokens, and of the one chosen after it
  std::string bits;             // a digest of all that was computed
};

// What a communicator for it must be able to gather.
size_t layer_all_gather_bytes(int tp);

// All ranks of `communicator` call it (one alone with a null communicator). Steps through prompt and decoding with sums, paged
// attention and sampling.
LayerResult run_layer(std::unique_ptr<Backend> backend, std::unique_ptr<Communicator> communicator, DType dtype);

struct LayerResults {
  LayerResult alone, together;
  std::string device;  // what computes
};
std::string to_text(const LayerResults& results);
LayerResults layer_results_from_text(const std::string& text);

// results: by rank. dtype: of the weights, for the rounding that is allowed.
Findings check_layer(const Job& job, const std::vector<LayerResults>& results, DType dtype);

}  // namespace lockstep::doctor
