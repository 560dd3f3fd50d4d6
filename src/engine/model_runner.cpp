#include "engine/model_runner.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace lockstep {

struct ModelRunner::Inputs {
  // Host side, one entry per query token or per sequence (see BatchView).
  std::vector<int32_t> token_ids, positions, token_slot;
  std::vector<int64_t> kv_index;
  std::vector<int32_t> query_start, context_len, seq_slot;
  int32_t max_query_len = 0, max_context_len = 0;
  // Sampling.
  std::vector<int32_t> sample_rows;  // query token whose hidden state samples
  std::vector<SamplingRow> rows;
  std::vector<LogitEdit> edits;
  std::vector<LogprobRequest> requests;
  std::vector<int32_t> logprob_index;
  SamplingNeeds needs;
  // Setups and block tables.
  std::vector<int32_t> history, last_tokens, block_numbers;

  Staging::Place<int32_t> p_token_ids, p_positions, p_token_slot, p_query_start, p_context_len, p_seq_slot, p_sample_rows;
  Staging::Place<int64_t> p_kv_index;
  Staging::Place<SamplingRow> p_rows;
  Staging::Place<LogitEdit> p_edits;
  Staging::Place<LogprobRequest> p_requests;
  Staging::Place<int32_t> p_history, p_last_tokens, p_block_numbers;
};

ModelRunner::ModelRunner(ModelConfig config, Partition partition, std::unique_ptr<Backend> backend,
                         std::unique_ptr<Communicator> comm, std::unique_ptr<Weights> weights, const KvLayout& kv,
                         int64_t num_kv_blocks, const RunnerLimits& limits)
    : config_(std::move(config)),
      partition_(std::move(partition)),
      backend_(std::move(backend)),
      comm_(std::move(comm)),
      weights_(std::move(weights)),
      limits_(limits),
      cache_(*backend_, kv, num_kv_blocks, limits.max_num_seqs, (limits.max_model_len + kv.block_size - 1) / kv.block_size),
      decoder_(config_, partition_.share, *weights_, cache_, *backend_, *comm_, limits.max_num_batched_tokens),
      sampler_(config_, partition_, *backend_, *comm_, limits.max_num_seqs),
      staging_(*backend_),
      slots_(static_cast<size_t>(limits.max_num_seqs)) {
  const auto seqs = static_cast<size_t>(limits.max_num_seqs);
  const size_t row = static_cast<size_t>(config_.hidden_size) * size_of(backend_->activation_dtype(weights_->dtype()));
  sample_hidden_ = Buffer(*backend_, seqs * row, "hidden states to sample from");
  host_tokens_ = static_cast<int32_t*>(backend_->allocate_host(seqs * sizeof(int32_t)));
  host_logprobs_ = static_cast<LogprobResult*>(backend_->allocate_host(seqs * sizeof(LogprobResult)));
}

ModelRunner::~ModelRunner() {
  backend_->release_host(host_tokens_);
  backend_->release_host(host_logprobs_);
}

void ModelRunner::add_sampling_row(const PlannedSequence& sequence, Inputs& in) const {
  const SlotSampling& s = slots_[static_cast<size_t>(sequence.slot)].sampling;
  SamplingRow row;
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
  if (sequence.output_index < s.min_tokens) {
    for (const int32_t token : s.stop_tokens) in.edits.push_back({token, -std::numeric_limits<float>::infinity()});
  }
  row.edit_end = static_cast<int32_t>(in.edits.size());
  in.needs.processing |= s.has_penalty() || row.edit_end > row.edit_begin;
  in.needs.filters |= s.has_filter();
  if (s.logprobs >= 0) {
    in.logprob_index.push_back(in.needs.num_logprobs++);
    in.requests.push_back({static_cast<int32_t>(in.rows.size()), s.logprobs});
  } else {
    in.logprob_index.push_back(-1);
  }
  in.rows.push_back(row);
}

ModelRunner::Inputs ModelRunner::stage(const StepPlan& plan) {
  Inputs in;
  for (const SlotSetup& setup : plan.setups) {
    Slot& slot = slots_.at(static_cast<size_t>(setup.slot));
    slot.sampling = setup.sampling;
    slot.blocks.clear();
    in.history.insert(in.history.end(), setup.prompt.begin(), setup.prompt.end());
    in.history.insert(in.history.end(), setup.outputs.begin(), setup.outputs.end());
    in.last_tokens.push_back(setup.last_token);
  }
  for (const BlockAppend& append : plan.blocks) {
    std::vector<int32_t>& blocks = slots_.at(static_cast<size_t>(append.slot)).blocks;
    check(static_cast<int64_t>(append.index) == static_cast<int64_t>(blocks.size()) &&
              append.index < cache_.block_table_stride() && append.block >= 0 && append.block < cache_.num_blocks(),
          "step {}: block {} as entry {} of slot {}, whose table has {} of {} entries", plan.step, append.block, append.index,
          append.slot, blocks.size(), cache_.block_table_stride());
    blocks.push_back(append.block);
    in.block_numbers.push_back(append.block);
  }
  const int64_t block_size = cache_.layout().block_size;
  in.query_start.push_back(0);
  for (const PlannedSequence& sequence : plan.sequences) {
    const Slot& slot = slots_.at(static_cast<size_t>(sequence.slot));
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
    in.max_query_len = std::max(in.max_query_len, count);
    in.max_context_len = std::max(in.max_context_len, context);
    if (sequence.sample) {
      in.sample_rows.push_back(static_cast<int32_t>(in.token_ids.size()) - 1);
      add_sampling_row(sequence, in);
    }
  }
  staging_.clear();
  in.p_kv_index = staging_.add(in.kv_index);
  in.p_rows = staging_.add(in.rows);
  in.p_token_ids = staging_.add(in.token_ids);
  in.p_positions = staging_.add(in.positions);
  in.p_token_slot = staging_.add(in.token_slot);
  in.p_query_start = staging_.add(in.query_start);
  in.p_context_len = staging_.add(in.context_len);
  in.p_seq_slot = staging_.add(in.seq_slot);
  in.p_sample_rows = staging_.add(in.sample_rows);
  in.p_edits = staging_.add(in.edits);
  in.p_requests = staging_.add(in.requests);
  in.p_history = staging_.add(in.history);
  in.p_last_tokens = staging_.add(in.last_tokens);
  in.p_block_numbers = staging_.add(in.block_numbers);
  staging_.upload();
  return in;
}

void ModelRunner::apply_setups(const StepPlan& plan, const Inputs& in) {
  const int32_t* history = staging_.device(in.p_history);
  for (size_t i = 0; i < plan.setups.size(); ++i) {
    const SlotSetup& setup = plan.setups[i];
    if (setup.last_token >= 0) {
      backend_->copy_on_device(sampler_.last_token() + setup.slot, staging_.device(in.p_last_tokens) + i, sizeof(int32_t));
    }
    if (!setup.sampling.has_penalty()) continue;
    const auto prompt_len = static_cast<int64_t>(setup.prompt.size());
    const auto num_outputs = static_cast<int64_t>(setup.outputs.size());
    sampler_.reset_counts(setup.slot, history, prompt_len, history + prompt_len, num_outputs);
    history += prompt_len + num_outputs;
  }
}

void ModelRunner::apply_blocks(const StepPlan& plan, const Inputs& in) {
  // Consecutive entries of one table travel in one copy.
  for (size_t begin = 0; begin < plan.blocks.size();) {
    size_t end = begin + 1;
    while (end < plan.blocks.size() && plan.blocks[end].slot == plan.blocks[begin].slot) ++end;
    backend_->copy_on_device(cache_.block_table_entry(plan.blocks[begin].slot, plan.blocks[begin].index),
                             staging_.device(in.p_block_numbers) + begin, (end - begin) * sizeof(int32_t));
    begin = end;
  }
}

StepResult ModelRunner::run(const StepPlan& plan) {
  check(plan.num_tokens() <= limits_.max_num_batched_tokens, "step {} has {} tokens; at most {} (--max-num-batched-tokens)",
        plan.step, plan.num_tokens(), limits_.max_num_batched_tokens);
  if (plan.sequences.empty()) return {};
  const Inputs in = stage(plan);
  apply_setups(plan, in);
  apply_blocks(plan, in);

  BatchView batch;
  batch.num_tokens = static_cast<int32_t>(in.token_ids.size());
  batch.num_seqs = static_cast<int32_t>(in.seq_slot.size());
  batch.max_query_len = in.max_query_len;
  batch.max_context_len = in.max_context_len;
  batch.token_ids = staging_.device(in.p_token_ids);
  batch.positions = staging_.device(in.p_positions);
  batch.token_slot = staging_.device(in.p_token_slot);
  batch.kv_index = staging_.device(in.p_kv_index);
  batch.query_start = staging_.device(in.p_query_start);
  batch.context_len = staging_.device(in.p_context_len);
  batch.seq_slot = staging_.device(in.p_seq_slot);
  batch.block_tables = cache_.block_tables();
  batch.block_table_stride = cache_.block_table_stride();

  backend_->ops().resolve_tokens(batch, sampler_.last_token());
  const TensorView hidden = decoder_.forward(batch);

  StepResult result;
  const auto num_rows = static_cast<int64_t>(in.rows.size());
  if (num_rows > 0) {
    const TensorView sampled(sample_hidden_.data(), hidden.dtype, num_rows, hidden.cols);
    backend_->ops().gather_rows(sampled, hidden, staging_.device(in.p_sample_rows));
    decoder_.logits(sampler_.logits(num_rows), sampled);
    sampler_.sample(num_rows, staging_.device(in.p_rows), staging_.device(in.p_edits), staging_.device(in.p_requests), in.needs);
    backend_->copy_to_host(host_tokens_, sampler_.tokens(), static_cast<size_t>(num_rows) * sizeof(int32_t));
    if (in.needs.num_logprobs > 0) {
      backend_->copy_to_host(host_logprobs_, sampler_.logprobs(),
                             static_cast<size_t>(in.needs.num_logprobs) * sizeof(LogprobResult));
    }
  }
  backend_->synchronize();
  result.tokens.assign(host_tokens_, host_tokens_ + num_rows);
  result.logprob_index = in.logprob_index;
  result.logprobs.assign(host_logprobs_, host_logprobs_ + in.needs.num_logprobs);
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    check(result.tokens[i] >= 0, "step {}: no token can be chosen for the sequence in slot {}: every logit is NaN or banned",
          plan.step, in.rows[i].slot);
  }
  return result;
}

}  // namespace lockstep
