#include "engine/model_runner.h"

#include <algorithm>

#include "base/error.h"
#include "base/trace.h"

namespace lockstep {
namespace {

// Bytes of the arrays of the largest step without edits, log-probabilities and histories, so that they seldom move.
size_t staging_bytes(const RunnerLimits& limits) {
  constexpr size_t kPerToken = 3 * sizeof(int32_t) + sizeof(int64_t);
  constexpr size_t kPerSequence = sizeof(SamplingRow) + 16 * sizeof(int64_t);
  constexpr size_t kAlignment = 1024;
  return static_cast<size_t>(limits.max_num_batched_tokens) * kPerToken +
         static_cast<size_t>(limits.max_num_seqs) * kPerSequence + kAlignment;
}

}  // namespace

size_t ModelRunner::buffer_bytes(const ModelConfig& config, DType act, const RunnerLimits& limits) {
  const size_t row = static_cast<size_t>(config.hidden_size) * size_of(act);
  return staging_bytes(limits) + static_cast<size_t>(limits.max_num_seqs) * row + Decoder::frequency_bytes(config);
}

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
      decoder_(config_, partition_.share, *weights_, cache_, *backend_, *comm_, limits.max_num_batched_tokens,
               limits.overlap_tokens),
      sampler_(config_, partition_, *backend_, *comm_, limits.max_num_seqs),
      staging_(*backend_, staging_bytes(limits)),
      slots_(static_cast<size_t>(limits.max_num_seqs)),
      graphs_(*backend_, *comm_, std::min<int64_t>(limits.max_num_seqs, limits.max_num_batched_tokens), limits.max_model_len) {
  const auto seqs = static_cast<size_t>(limits.max_num_seqs);
  const size_t row = static_cast<size_t>(config_.hidden_size) * size_of(backend_->activation_dtype(weights_->dtype()));
  sample_hidden_ = Buffer(*backend_, seqs * row, "hidden states to sample from");
  for (HostResults& results : results_) {
    results.tokens = static_cast<int32_t*>(backend_->allocate_host(seqs * sizeof(int32_t)));
    results.logprobs = static_cast<LogprobResult*>(backend_->allocate_host(seqs * sizeof(LogprobResult)));
    results.arrived = backend_->make_mark();
  }
}

ModelRunner::~ModelRunner() {
  if (backend_->is_asynchronous() && std::uncaught_exceptions() > exceptions_at_start_) comm_->abort();
  for (const HostResults& results : results_) {
    backend_->release_host(results.tokens);
    backend_->release_host(results.logprobs);
    if (results.prompt_logprobs != nullptr) backend_->release_host(results.prompt_logprobs);
  }
}

BatchView ModelRunner::batch_view(const StepInputs& in, int64_t max_context_len) const {
  BatchView batch;
  batch.num_tokens = static_cast<int32_t>(in.token_ids.size());
  batch.num_seqs = static_cast<int32_t>(in.seq_slot.size());
  batch.max_query_len = in.max_query_len;
  batch.max_context_len = static_cast<int32_t>(max_context_len);
  batch.token_ids = staging_.device(in.p_token_ids);
  batch.positions = staging_.device(in.p_positions);
  batch.token_slot = staging_.device(in.p_token_slot);
  batch.kv_index = staging_.device(in.p_kv_index);
  batch.query_start = staging_.device(in.p_query_start);
  batch.context_len = staging_.device(in.p_context_len);
  batch.seq_slot = staging_.device(in.p_seq_slot);
  batch.block_tables = cache_.block_tables();
  batch.block_table_stride = cache_.block_table_stride();
  return batch;
}

TensorView ModelRunner::run_forward(const StepInputs& in, int64_t max_context_len) {
  Ops& ops = backend_->ops();
  const BatchView batch = batch_view(in, max_context_len);
  ops.scatter(cache_.block_tables(), staging_.device(in.p_block_places), staging_.device(in.p_block_numbers),
              static_cast<int64_t>(in.block_places.size()));
  ops.scatter(sampler_.last_token(), staging_.device(in.p_last_token_places), staging_.device(in.p_last_tokens),
              static_cast<int64_t>(in.last_tokens.size()));
  ops.resolve_tokens(batch, sampler_.last_token());
  const TensorView hidden = decoder_.forward(batch);
  const auto num_rows = static_cast<int64_t>(in.rows.size());
  if (num_rows == 0) return hidden;
  TensorView sampled = hidden;
  if (num_rows < batch.num_tokens) {
    sampled = TensorView(sample_hidden_.data(), hidden.dtype, num_rows, hidden.cols);
    ops.gather_rows(sampled, hidden, staging_.device(in.p_sample_rows));
  }
  decoder_.logits(sampler_.logits(num_rows), sampled);
  return hidden;
}

// In pieces of as many rows as there is room for logits.
void ModelRunner::score_prompts(const StepInputs& in, TensorView hidden, HostResults& results) {
  if (results.prompt_logprobs == nullptr) {
    const auto most = static_cast<size_t>(limits_.max_num_batched_tokens);
    results.prompt_logprobs = static_cast<LogprobResult*>(backend_->allocate_host(most * sizeof(LogprobResult)));
  }
  const auto total = static_cast<int64_t>(in.prompt_rows.size());
  for (int64_t done = 0; done < total; done += limits_.max_num_seqs) {
    const int64_t count = std::min<int64_t>(total - done, limits_.max_num_seqs);
    const TensorView rows(sample_hidden_.data(), hidden.dtype, count, hidden.cols);
    backend_->ops().gather_rows(rows, hidden, staging_.device(in.p_prompt_rows) + done);
    decoder_.logits(sampler_.logits(count), rows);
    sampler_.score(count, staging_.device(in.p_prompt_next) + done, staging_.device(in.p_prompt_requests) + done);
    backend_->copy_to_host(results.prompt_logprobs + done, sampler_.logprobs(),
                           static_cast<size_t>(count) * sizeof(LogprobResult));
  }
}

void ModelRunner::sample(const StepInputs& in) {
  if (in.rows.empty()) return;
  sampler_.sample(static_cast<int64_t>(in.rows.size()), staging_.device(in.p_rows), staging_.device(in.p_edits),
                  staging_.device(in.p_requests), in.needs);
}

void ModelRunner::launch(const StepPlan& plan) {
  check(plan.num_tokens() <= limits_.max_num_batched_tokens, "step {} has {} tokens; at most {} (--max-num-batched-tokens)",
        plan.step, plan.num_tokens(), limits_.max_num_batched_tokens);
  check(in_flight_.size() < max_in_flight(), "step {} is launched while {} are in flight", plan.step, in_flight_.size());
  comm_->begin_step(plan.step);
  StepInputs in;
  InFlight flight;
  DecodeGraphs::Shape shape;
  {
    const TraceSpan span("stage");
    in = make_step_inputs(plan, slots_,
                          {cache_.layout().block_size, cache_.num_blocks(), cache_.block_table_stride(), limits_.max_num_seqs,
                           sampler_.mask_words(), Sampler::num_masks(limits_.max_num_seqs)});
    flight.step = plan.step;
    for (const SamplingRow& row : in.rows) flight.slots.push_back(row.slot);
    flight.logprob_index = in.logprob_index;
    flight.num_logprobs = in.needs.num_logprobs;
    flight.num_prompt_logprobs = in.prompt_rows.size();
    flight.results = &results_[next_results_];
    next_results_ = (next_results_ + 1) % results_.size();
    if (backend_->is_asynchronous() && in.is_decode()) {
      const bool simple = !in.needs.processing && !in.needs.masks && !in.needs.filters.any() && in.needs.num_logprobs == 0;
      shape = graphs_.shape_for(static_cast<int64_t>(in.rows.size()), in.max_context_len, simple);
      in.pad_decode(static_cast<size_t>(shape.bucket));
    }
    in.place(staging_);
    staging_.upload();
  }
  const TraceSpan span("launch");
  const int32_t* history = staging_.device(in.p_history);
  for (const SlotSetup& setup : plan.setups) {
    if (!setup.sampling.has_penalty()) continue;
    const auto prompt_len = static_cast<int64_t>(setup.prompt.size());
    const auto num_outputs = static_cast<int64_t>(setup.outputs.size());
    sampler_.reset_counts(setup.slot, history, prompt_len, history + prompt_len, num_outputs);
    history += prompt_len + num_outputs;
  }
  for (size_t i = 0; i < in.mask_indices.size(); ++i) {
    sampler_.set_mask(in.mask_indices[i],
                      staging_.device(in.p_mask_words) + static_cast<int64_t>(i) * sampler_.mask_words().size());
  }
  TensorView hidden;
  if (shape.bucket > 0) {
    graphs_.run(shape, staging_.generation(), [&] {
      run_forward(in, shape.max_context);
      if (shape.samples) sample(in);
    });
  } else if (!plan.sequences.empty()) {
    hidden = run_forward(in, in.max_context_len);
  }
  if (!shape.samples) sample(in);
  const size_t num_tokens = flight.slots.size();
  if (num_tokens > 0) {
    backend_->copy_to_host(flight.results->tokens, sampler_.tokens(), num_tokens * sizeof(int32_t));
    backend_->copy_to_host(flight.results->logprobs, sampler_.logprobs(),
                           static_cast<size_t>(flight.num_logprobs) * sizeof(LogprobResult));
  }
  if (!in.prompt_rows.empty()) score_prompts(in, hidden, *flight.results);
  flight.results->arrived->record();
  in_flight_.push_back(std::move(flight));
}

StepResult ModelRunner::wait() {
  check(!in_flight_.empty(), "no step is in flight");
  const InFlight flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  flight.results->arrived->wait();
  StepResult result;
  result.tokens.assign(flight.results->tokens, flight.results->tokens + flight.slots.size());
  result.logprob_index = flight.logprob_index;
  result.logprobs.assign(flight.results->logprobs, flight.results->logprobs + flight.num_logprobs);
  if (flight.num_prompt_logprobs > 0) {
    result.prompt_logprobs.assign(flight.results->prompt_logprobs, flight.results->prompt_logprobs + flight.num_prompt_logprobs);
  }
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    check(result.tokens[i] >= 0, "step {}: no token can be chosen for the sequence in slot {}: every logit is NaN or banned",
          flight.step, flight.slots[i]);
  }
  return result;
}

StepResult ModelRunner::run(const StepPlan& plan) {
  launch(plan);
  return wait();
}

}  // namespace lockstep
