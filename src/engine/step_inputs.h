// StepInputs: a StepPlan as the arrays that the ops take.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/sampler.h"
#include "engine/staging.h"
#include "engine/step_plan.h"
#include "kernels/ops.h"

namespace lockstep {

// What a rank remembers of a slot's sequence between steps.
struct Slot {
  SlotSampling sampling;
  std::vector<int32_t> blocks;  // host copy of the block table
};

struct StepInputs {
  // One entry per query token or per sequence (see BatchView).
  std::vector<int32_t> token_ids, positions, token_slot;
  std::vector<int64_t> kv_index;
  std::vector<int32_t> query_start, context_len, seq_slot;
  int32_t max_query_len = 0, max_context_len = 0;
  // Sampling.
  std::vector<int32_t> sample_rows;  // query token whose hidden state samples
  std::vector<SamplingRow> rows;
  std::vector<LogitEdit> edits;
  std::vector<LogprobRequest> requests;
  std::vector<int32_t> logprob_index;  // by row; -1: none asked for
  SamplingNeeds needs;
  // Log-probabilities of prompts: the query tokens whose next token's is wanted, in the plan's order, and that token. The
  // requests name rows of pieces of RunnerShape::logit_rows.
  std::vector<int32_t> prompt_rows, prompt_next;
  std::vector<LogprobRequest> prompt_requests;
  // Changes of block tables and of last tokens, for Ops::scatter.
  std::vector<int64_t> block_places, last_token_places;
  std::vector<int32_t> block_numbers, last_tokens;
  // Masks of allowed tokens that change: their numbers, and of each the words that this rank needs.
  std::vector<int32_t> mask_indices, mask_words;
  std::vector<int32_t> history;  // prompts and outputs of new sequences with penalties

  Staging::Place<int32_t> p_token_ids, p_positions, p_token_slot, p_query_start, p_context_len, p_seq_slot, p_sample_rows,
      p_prompt_rows, p_prompt_next;
  Staging::Place<int64_t> p_kv_index, p_block_places, p_last_token_places;
  Staging::Place<SamplingRow> p_rows;
  Staging::Place<LogitEdit> p_edits;
  Staging::Place<LogprobRequest> p_requests, p_prompt_requests;
  Staging::Place<int32_t> p_history, p_last_tokens, p_block_numbers, p_mask_words;

  // Each sequence has one query token and samples, and none is new: the shape of a step that can be recorded.
  bool is_decode() const;
  // Fills a decode step up with sequences that do nothing, and the changes of block tables with none, to `bucket` entries each.
  void pad_decode(size_t bucket);
  // Adds the arrays to `staging` and remembers their places. Those of a padded decode step lie where they lie for any other step
  // of the same bucket.
  void place(Staging& staging);
};

struct RunnerShape {
  int64_t block_size = 0;
  int64_t num_blocks = 0;
  int64_t block_table_stride = 0;
  int32_t logit_rows = 0;  // that are made at a time
  Range mask_words;        // of a mask, that this rank needs
  int32_t num_masks = 0;   // that the ranks keep
};

// Takes the plan's setups and blocks into `slots`. Throws Error for a plan that contradicts them.
StepInputs make_step_inputs(const StepPlan& plan, std::vector<Slot>& slots, const RunnerShape& shape);

}  // namespace lockstep
