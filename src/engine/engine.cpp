#include "engine/engine.h"

#include <algorithm>
#include <random>

#include "base/error.h"
#include "base/trace.h"

namespace lockstep {
namespace {

uint64_t random_seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

std::string describe(const StepPlan& plan) {
  return fmt::format("step {}, {} sequences, {} tokens", plan.step, plan.sequences.size(), plan.num_tokens());
}

// Collective over the world.
Floor measure(const World& world, ModelRunner& runner) {
  world.barrier("the bandwidth measurement");
  Floor floor;
  floor.bandwidth = runner.backend().measure_read_bandwidth(runner.weights().data(), runner.weights().bytes());
  const auto mine = static_cast<double>(runner.decoder().weight_bytes_per_step());
  constexpr double kNano = 1e9;
  floor.seconds_per_step =
      static_cast<double>(world.all_max(static_cast<int64_t>(mine / floor.bandwidth * kNano), "the bandwidth measurement")) /
      kNano;
  floor.bytes_per_step = world.all_max(static_cast<int64_t>(mine), "the bandwidth measurement");
  return floor;
}

SchedulerLimits scheduler_limits(const ModelRunner& runner) {
  SchedulerLimits limits;
  limits.max_num_seqs = runner.limits().max_num_seqs;
  limits.max_num_batched_tokens = runner.limits().max_num_batched_tokens;
  limits.max_model_len = runner.limits().max_model_len;
  limits.block_size = runner.cache().layout().block_size;
  limits.num_blocks = runner.cache().num_blocks();
  return limits;
}

}  // namespace

Engine::Engine(const World& world, ModelRunner& runner, const EngineOptions& options, const Tokenizer* tokenizer)
    : world_(world),
      runner_(runner),
      tokenizer_(tokenizer),
      scheduler_(scheduler_limits(runner)),
      watchdog_(world, Seconds(options.step_timeout_s)) {
  watchdog_.watch(runner.communicator());
}

int64_t Engine::add(std::vector<int32_t> prompt, const SamplingParams& params) {
  const ModelConfig& config = runner_.config();
  for (const int32_t token : prompt) {
    check(token >= 0 && token < config.vocab_size, "prompt token id {} is outside the vocabulary, 0 to {}", token,
          config.vocab_size - 1);
  }
  check(tokenizer_ != nullptr || params.stop.empty(),
        "stop strings need a tokenizer, and the model has none; use --stop-token-ids");
  auto sequence = std::make_unique<Sequence>();
  sequence->id = next_id_;
  sequence->prompt_len = static_cast<int64_t>(prompt.size());
  sequence->max_len = std::min(sequence->prompt_len + params.max_tokens, runner_.limits().max_model_len);
  sequence->tokens = std::move(prompt);
  sequence->params = params;
  sequence->seed = params.seed ? *params.seed : random_seed();
  sequence->stop_tokens = params.stop_token_ids;
  if (!params.ignore_eos) {
    sequence->stop_tokens.insert(sequence->stop_tokens.end(), config.eos_token_ids.begin(), config.eos_token_ids.end());
  }
  scheduler_.add(std::move(sequence));
  if (tokenizer_ != nullptr) texts_.emplace(next_id_, TextStream(*tokenizer_, params.stop));
  return next_id_++;
}

void Engine::send(const StepPlan& plan) {
  const TraceSpan span("broadcast");
  std::vector<std::byte> bytes = plan.serialize();
  world_.broadcast(bytes, "the step plan");
}

bool Engine::launch_next() {
  StepPlan plan;
  {
    const TraceSpan span("schedule");
    plan = scheduler_.schedule();
  }
  if (plan.sequences.empty()) return false;
  watchdog_.progress(describe(plan));
  send(plan);
  runner_.launch(plan);
  tokens_in_flight_.push_back(plan.num_tokens());
  return true;
}

std::vector<SequenceOutput> Engine::step() {
  // Until the device has two steps to do, or there is nothing that can be scheduled without the results of those.
  const Watchdog::Guard guard(watchdog_, "the next step");
  while (runner_.num_in_flight() < runner_.max_in_flight() && launch_next()) {
  }
  last_step_tokens_ = 0;
  if (runner_.num_in_flight() == 0) return {};
  StepResult result;
  {
    const TraceSpan span("wait");
    result = runner_.wait();
  }
  const TraceSpan span("output");
  last_step_tokens_ = tokens_in_flight_.front();
  tokens_in_flight_.pop_front();
  return take(result);
}

std::vector<SequenceOutput> Engine::take(const StepResult& result) {
  const std::vector<Sequence*> sampled = scheduler_.commit();
  check(sampled.size() == result.tokens.size(), "a step sampled {} tokens for {} sequences", result.tokens.size(),
        sampled.size());
  std::vector<SequenceOutput> outputs;
  for (size_t i = 0; i < sampled.size(); ++i) {
    if (sampled[i] == nullptr) continue;  // had ended with the step before
    Sequence& sequence = *sampled[i];
    SequenceOutput out;
    out.id = sequence.id;
    out.token = result.tokens[i];
    if (result.logprob_index[i] >= 0) {
      const LogprobResult& l = result.logprobs[static_cast<size_t>(result.logprob_index[i])];
      out.logprob = l.chosen;
      for (int32_t k = 0; k < std::min<int64_t>(sequence.params.logprobs, runner_.config().vocab_size); ++k) {
        out.top_logprobs.push_back({l.top_token[k], l.top_logprob[k]});
      }
    }
    scheduler_.append(sequence, out.token);
    if (const auto text = texts_.find(sequence.id); text != texts_.end()) {
      // A stop token ends the text without being part of it.
      if (sequence.finish != FinishReason::kStop) out.text = text->second.push(out.token);
      if (text->second.stopped()) sequence.finish = FinishReason::kStop;
      if (sequence.finish != FinishReason::kNone) {
        out.text += text->second.finish();
        texts_.erase(text);
      }
    }
    out.finish = sequence.finish;
    if (out.finish != FinishReason::kNone) scheduler_.remove(sequence);
    outputs.push_back(std::move(out));
  }
  return outputs;
}

void Engine::drain() {
  while (runner_.num_in_flight() > 0) take(runner_.wait());
  tokens_in_flight_.clear();
}

Floor Engine::measure_floor() {
  StepPlan plan;
  plan.kind = StepKind::kMeasure;
  const Watchdog::Guard guard(watchdog_, "the bandwidth measurement");
  check(!has_work(), "the bandwidth is to be measured while sequences run");  // their outputs would be lost
  drain();
  send(plan);
  return measure(world_, runner_);
}

void Engine::shutdown() {
  StepPlan plan;
  plan.kind = StepKind::kShutdown;
  {
    const Watchdog::Guard guard(watchdog_, "the last steps");
    drain();
  }
  send(plan);
}

void serve_rank(const World& world, ModelRunner& runner, const EngineOptions& options) {
  Watchdog watchdog(world, Seconds(options.step_timeout_s));
  watchdog.watch(runner.communicator());
  for (;;) {
    std::vector<std::byte> bytes;
    world.broadcast(bytes, "the step plan", /*idle=*/true);
    const StepPlan plan = StepPlan::deserialize(bytes);
    const Watchdog::Guard guard(watchdog, describe(plan));
    // Rank 0 waits for each step; this rank only keeps up with it.
    const size_t may_remain = plan.kind == StepKind::kRun ? runner.max_in_flight() - 1 : 0;
    while (runner.num_in_flight() > may_remain) runner.wait();
    if (plan.kind == StepKind::kShutdown) return;
    if (plan.kind == StepKind::kMeasure) {
      measure(world, runner);
    } else {
      runner.launch(plan);
    }
  }
}

}  // namespace lockstep
