// Sequence: one request as rank 0 follows it: its tokens, how far it is computed, and the blocks it owns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/options.h"

namespace lockstep {

enum class FinishReason { kNone, kStop, kLength };

struct Sequence {
  int64_t id = 0;
  std::vector<int32_t> tokens;  // prompt, then the outputs that the host knows
  int64_t prompt_len = 0;
  int64_t max_len = 0;  // of tokens: prompt + max_tokens, within max_model_len
  uint64_t seed = 0;
  SamplingParams params;
  std::vector<int32_t> stop_tokens;  // that end the sequence: EOS unless ignored, and params.stop_token_ids

  int32_t slot = -1;         // while running
  int64_t num_computed = 0;  // tokens whose K and V are in the cache, or will be after the steps in flight
  int64_t num_pending = 0;   // outputs of steps in flight: the device has them or will, the host does not know them yet
  std::vector<int32_t> blocks;
  FinishReason finish = FinishReason::kNone;

  int64_t num_known() const { return static_cast<int64_t>(tokens.size()); }
  int64_t length() const { return num_known() + num_pending; }
  int64_t num_outputs() const { return length() - prompt_len; }
};

}  // namespace lockstep
