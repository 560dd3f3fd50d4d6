// Sequence: one continuation of one prompt as rank 0 follows it: its tokens, how far it is computed, and the blocks it uses.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cache/block_hash.h"
#include "config/options.h"
#include "engine/outcome.h"

namespace lockstep {

// Who goes first: for a place in a step, for blocks, and in line. Smaller goes first.
struct Rank {
  bool waited_long = false;  // see SchedulerLimits::patience
  int32_t priority = 0;      // higher goes first
  int64_t arrival = 0;       // then the older
  bool operator<(const Rank& other) const {
    if (waited_long != other.waited_long) return waited_long;
    return priority != other.priority ? priority > other.priority : arrival < other.arrival;
  }
};

struct Sequence {
  int64_t id = 0;
  int64_t request = 0;          // what its user knows it by
  int32_t index = 0;            // which of the request's n continuations
  std::vector<int32_t> tokens;  // prompt, then the outputs that the host knows
  int64_t prompt_len = 0;
  int64_t max_len = 0;  // of tokens: prompt + max_tokens, within max_model_len
  uint64_t seed = 0;
  SamplingParams params;
  std::vector<int32_t> stop_tokens;  // that end the sequence: EOS unless ignored, and params.stop_token_ids
  int32_t priority = 0;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  bool shares_blocks = false;       // full blocks may come from, and serve, sequences whose variant is the same
  std::string variant;              // what changes K and V besides the tokens, and who may share blocks
  bool needs_host = false;          // a token is chosen only when the host knows the one before it: what may come depends on it
  std::vector<int32_t> text_stops;  // with needs_host: stop tokens that min_tokens does not ban, for nothing else may be allowed

  // The scheduler's own from here on.
  Rank rank;
  int64_t arrival_step = 0;
  int32_t slot = -1;         // while running
  int64_t num_computed = 0;  // tokens whose K and V are in the cache, or will be after the steps in flight
  int64_t num_pending = 0;   // outputs of steps in flight: the device has them or will, the host does not know them yet
  std::vector<int32_t> blocks;
  std::vector<BlockHash> hashes;  // of full blocks of known tokens, as far as they were needed
  int64_t num_published = 0;      // blocks that others can find, or whose like they can
  int64_t num_cached = -1;        // tokens that it found computed when it was first admitted; -1: not yet admitted
  int64_t num_deferrals = 0;      // steps in which it let others go first that compute what it needs, too
  FinishReason finish = FinishReason::kNone;

  int64_t num_known() const { return static_cast<int64_t>(tokens.size()); }
  int64_t length() const { return num_known() + num_pending; }
  int64_t num_outputs() const { return length() - prompt_len; }
};

}  // namespace lockstep
