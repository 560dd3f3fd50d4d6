// StepPlan: the one message of a step, made by rank 0's scheduler, run by every rank. Followers decide nothing, so ranks cannot
// diverge. Flat int32 words on the wire, with a version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lockstep {

// How a slot's sequence samples; sent once, when the sequence takes the slot.
struct SlotSampling {
  uint64_t seed = 0;
  float temperature = 0.0f;
  int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t logprobs = -1;             // -1: none; else how many of the best are reported
  int32_t prompt_logprobs = -1;      // likewise for the prompt's tokens
  std::vector<int32_t> bias_tokens;  // whose logits get the bias below added
  std::vector<float> bias;
  int32_t min_tokens = 0;  // the stop tokens below are banned until this many were produced
  std::vector<int32_t> stop_tokens;

  bool has_penalty() const { return repetition_penalty != 1.0f || presence_penalty != 0.0f || frequency_penalty != 0.0f; }
  bool operator==(const SlotSampling&) const = default;
};

// A sequence takes a slot: a new one, or one that was preempted and starts over with the tokens it had produced.
struct SlotSetup {
  int32_t slot = 0;
  SlotSampling sampling;
  int32_t last_token = -1;       // the last token produced so far, or -1
  std::vector<int32_t> prompt;   // only where a penalty needs them, else empty
  std::vector<int32_t> outputs;  // likewise
  bool operator==(const SlotSetup&) const = default;
};

// Entry `index` of a slot's block table becomes `block`.
struct BlockAppend {
  int32_t slot = 0;
  int32_t index = 0;
  int32_t block = 0;
  bool operator==(const BlockAppend&) const = default;
};

// One sequence's part of the step: query tokens at positions context_start, context_start + 1, ...
struct PlannedSequence {
  int32_t slot = 0;
  int32_t context_start = 0;
  int32_t output_index = 0;     // tokens produced so far
  bool sample = false;          // the last query token is the sequence's last: choose the next one
  int32_t prompt_logprobs = 0;  // after the first so many query tokens, the log-probability of the token that follows is wanted
  int32_t next_token = -1;      // what follows the last query token, where that is wanted
  int32_t mask = -1;            // which of the masks that the ranks keep says what may be sampled; -1: all tokens may
  std::vector<int32_t> tokens;  // ids; -1: the token that this slot sampled last, known on the device
  bool operator==(const PlannedSequence&) const = default;
};

// Mask number `index` of those that the ranks keep becomes this one: bit t % 32 of word t / 32 allows token t.
struct MaskUpdate {
  int32_t index = 0;
  std::vector<int32_t> words;  // of the whole vocabulary
  bool operator==(const MaskUpdate&) const = default;
};

enum class StepKind : int32_t { kRun = 0, kMeasure = 1, kShutdown = 2 };

struct StepPlan {
  int64_t step = 0;
  StepKind kind = StepKind::kRun;
  int64_t collectives = 0;  // begun by rank 0 before this step, and by every rank that is in the same place
  std::vector<SlotSetup> setups;
  std::vector<BlockAppend> blocks;
  std::vector<PlannedSequence> sequences;
  std::vector<MaskUpdate> masks;  // before anything is sampled

  int64_t num_tokens() const;
  std::vector<std::byte> serialize() const;
  // Throws Error for bytes that serialize() of this version did not make.
  static StepPlan deserialize(const std::vector<std::byte>& bytes);
  bool operator==(const StepPlan&) const = default;
};

}  // namespace lockstep
