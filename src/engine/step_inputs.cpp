#include "engine/step_inputs.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace lockstep {
namespace {

void apply_setups(const StepPlan& plan, std::vector<Slot>& slots, StepInputs& in) {
  for (const SlotSetup& setup : plan.setups) {
    Slot& slot = slots.at(static_cast<size_t>(setup.slot));
    slot.sampling = setup.sampling;
    slot.blocks.clear();
    in.history.insert(in.history.end(), setup.prompt.begin(), setup.prompt.end());
    in.history.insert(in.history.end(), setup.outputs.begin(), setup.outputs.end());
    if (setup.last_token >= 0) {
      in.last_token_places.push_back(setup.slot);
      in.last_tokens.push_back(setup.last_token);
    }
  }
}

void apply_blocks(const StepPlan& plan, const RunnerShape& cache, std::vector<Slot>& slots, StepInputs& in) {
  for (const BlockAppend& append : plan.blocks) {
    std::vector<int32_t>& blocks = slots.at(static_cast<size_t>(append.slot)).blocks;
    check(static_cast<int64_t>(append.index) == static_cast<int64_t>(blocks.size()) && append.index < cache.block_table_stride &&
              append.block >= 0 && append.block < cache.num_blocks,
          "step {}: block {} as entry {} of slot {}, whose table has {} of {} entries", plan.step, append.block, append.index,
          append.slot, blocks.size(), cache.block_table_stride);
    blocks.push_back(append.block);
    in.block_places.push_back(append.slot * cache.block_table_stride + append.index);
    in.block_numbers.push_back(append.block);
  }
}

void apply_masks(const StepPlan& plan, const RunnerShape& shape, StepInputs& in) {
  for (const MaskUpdate& mask : plan.masks) {
    const auto size = static_cast<int64_t>(mask.words.size());
    check(mask.index >= 0 && mask.index < shape.num_masks && size >= shape.mask_words.end,
          "step {}: mask {} of {} with {} words, of which this rank needs those up to {}", plan.step, mask.index, shape.num_masks,
          size, shape.mask_words.end);
    in.mask_indices.push_back(mask.index);
    in.mask_words.insert(in.mask_words.end(), mask.words.begin() + shape.mask_words.begin,
                         mask.words.begin() + shape.mask_words.end);
  }
}

void add_sampling_row(const PlannedSequence& sequence, const SlotSampling& s, int32_t num_masks, StepInputs& in) {
  SamplingRow row;
  check(sequence.mask < num_masks, "slot {}: mask {} of {}", sequence.slot, sequence.mask, num_masks);
  row.mask_row = sequence.mask;
  in.needs.masks |= sequence.mask >= 0;
  row.seed = s.seed;
  row.slot = sequence.slot;
  row.output_index = sequence.output_index;
  row.temperature = s.temperature;
  row.top_k = s.top_k;
  row.top_p = s.top_p;
  row.min_p = s.min_p;
  row.repetition_penalty = s.repetition_penalty;
  row.presence_penalty = s.presence_penalty;
  row.frequency_penalty = s.frequency_penalty;
  row.penalty_row = s.has_penalty() ? sequence.slot : -1;
  row.edit_begin = static_cast<int32_t>(in.edits.size());
  for (size_t i = 0; i < s.bias.size(); ++i) in.edits.push_back({s.bias_tokens.at(i), s.bias[i]});
  if (sequence.output_index < s.min_tokens) {
    for (const int32_t token : s.stop_tokens) in.edits.push_back({token, -std::numeric_limits<float>::infinity()});
  }
  row.edit_end = static_cast<int32_t>(in.edits.size());
  in.needs.processing |= s.has_penalty() || row.edit_end > row.edit_begin;
  if (s.temperature > 0.0f) {
    in.needs.filters.top_k |= s.top_k > 0;
    in.needs.filters.top_p |= s.top_p < 1.0f;
    in.needs.filters.min_p |= s.min_p > 0.0f;
  }
  if (s.logprobs >= 0) {
    in.logprob_index.push_back(in.needs.num_logprobs++);
    in.requests.push_back({static_cast<int32_t>(in.rows.size()), s.logprobs});
  } else {
    in.logprob_index.push_back(-1);
  }
  in.rows.push_back(row);
}

// first: the place of the sequence's first query token.
void add_prompt_rows(const PlannedSequence& sequence, const SlotSampling& s, int32_t first, int32_t logit_rows, StepInputs& in) {
  const auto count = static_cast<int32_t>(sequence.tokens.size());
  check(sequence.prompt_logprobs <= count && s.prompt_logprobs >= 0 && s.prompt_logprobs <= kMaxTopLogprobs,
        "slot {}: {} log-probabilities of the prompt with the best {} wanted of {} tokens", sequence.slot,
        sequence.prompt_logprobs, s.prompt_logprobs, count);
  for (int32_t i = 0; i < sequence.prompt_logprobs; ++i) {
    const int32_t next = i + 1 < count ? sequence.tokens[static_cast<size_t>(i) + 1] : sequence.next_token;
    check(next >= 0, "slot {}: the token after position {} is not known", sequence.slot, sequence.context_start + i);
    in.prompt_requests.push_back({static_cast<int32_t>(in.prompt_rows.size()) % logit_rows, s.prompt_logprobs});
    in.prompt_rows.push_back(first + i);
    in.prompt_next.push_back(next);
  }
}

void add_sequence(const StepPlan& plan, const PlannedSequence& sequence, const Slot& slot, const RunnerShape& shape,
                  StepInputs& in) {
  const int64_t block_size = shape.block_size;
  const auto first = static_cast<int32_t>(in.token_ids.size());
  const auto count = static_cast<int32_t>(sequence.tokens.size());
  const int32_t context = sequence.context_start + count;
  check(count > 0 && context <= static_cast<int64_t>(slot.blocks.size()) * block_size,
        "step {}: slot {} gets {} tokens after {}, but its {} blocks hold {}", plan.step, sequence.slot, count,
        sequence.context_start, slot.blocks.size(), static_cast<int64_t>(slot.blocks.size()) * block_size);
  for (int32_t i = 0; i < count; ++i) {
    const int64_t position = sequence.context_start + i;
    in.token_ids.push_back(sequence.tokens[static_cast<size_t>(i)]);
    in.positions.push_back(static_cast<int32_t>(position));
    in.token_slot.push_back(sequence.slot);
    in.kv_index.push_back(slot.blocks[static_cast<size_t>(position / block_size)] * block_size + position % block_size);
  }
  in.query_start.push_back(static_cast<int32_t>(in.token_ids.size()));
  in.context_len.push_back(context);
  in.seq_slot.push_back(sequence.slot);
  if (sequence.prompt_logprobs > 0) add_prompt_rows(sequence, slot.sampling, first, shape.logit_rows, in);
  in.max_query_len = std::max(in.max_query_len, count);
  in.max_context_len = std::max(in.max_context_len, context);
  if (sequence.sample) {
    in.sample_rows.push_back(static_cast<int32_t>(in.token_ids.size()) - 1);
    add_sampling_row(sequence, slot.sampling, shape.num_masks, in);
  }
}

}  // namespace

StepInputs make_step_inputs(const StepPlan& plan, std::vector<Slot>& slots, const RunnerShape& shape) {
  StepInputs in;
  apply_setups(plan, slots, in);
  apply_blocks(plan, shape, slots, in);
  apply_masks(plan, shape, in);
  in.query_start.push_back(0);
  for (const PlannedSequence& sequence : plan.sequences) {
    add_sequence(plan, sequence, slots.at(static_cast<size_t>(sequence.slot)), shape, in);
  }
  return in;
}

bool StepInputs::is_decode() const {
  return max_query_len == 1 && rows.size() == seq_slot.size() && last_tokens.empty() && history.empty() &&
         block_places.size() <= seq_slot.size() && prompt_rows.empty();
}

void StepInputs::pad_decode(size_t bucket) {
  for (size_t i = seq_slot.size(); i < bucket; ++i) {
    token_ids.push_back(0);
    positions.push_back(0);
    token_slot.push_back(0);
    kv_index.push_back(-1);
    query_start.push_back(query_start.back() + 1);
    context_len.push_back(0);
    seq_slot.push_back(0);
    sample_rows.push_back(static_cast<int32_t>(i));
    SamplingRow nobody;
    nobody.slot = -1;
    rows.push_back(nobody);
  }
  block_places.resize(bucket, -1);
  block_numbers.resize(bucket, 0);
}

void StepInputs::place(Staging& staging) {
  // First those whose size is the bucket's in a padded step.
  staging.clear();
  p_kv_index = staging.add(kv_index);
  p_rows = staging.add(rows);
  p_token_ids = staging.add(token_ids);
  p_positions = staging.add(positions);
  p_token_slot = staging.add(token_slot);
  p_query_start = staging.add(query_start);
  p_context_len = staging.add(context_len);
  p_seq_slot = staging.add(seq_slot);
  p_sample_rows = staging.add(sample_rows);
  p_block_places = staging.add(block_places);
  p_block_numbers = staging.add(block_numbers);
  p_last_token_places = staging.add(last_token_places);
  p_last_tokens = staging.add(last_tokens);
  p_edits = staging.add(edits);
  p_requests = staging.add(requests);
  p_history = staging.add(history);
  p_prompt_rows = staging.add(prompt_rows);
  p_prompt_next = staging.add(prompt_next);
  p_prompt_requests = staging.add(prompt_requests);
  p_mask_words = staging.add(mask_words);
}

}  // namespace lockstep
