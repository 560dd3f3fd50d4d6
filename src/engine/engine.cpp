#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/trace.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

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

// Collectives of one size, on a device, fit each other also where a rank has left one out or done one twice: the sums are wrong
// from there on, and nobody waits.
void check_same_place(const World& world, ModelRunner& runner, const StepPlan& plan) {
  const int64_t begun = runner.communicator().log().num_begun();
  if (begun != plan.collectives && world.rank() > 1) {
    // If rank 0 is the one, every other finds so at once: the lowest of them is to say it, and to end the job.
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
  check(begun == plan.collectives,
        "{} and {} are not in the same collective: before step {} they have begun {} and {}; one of them has skipped or repeated "
        "one, and their sums are wrong",
        world.name_of(world.rank()), world.name_of(0), plan.step, begun, plan.collectives);
}

}  // namespace

Engine::Engine(const World& world, ModelRunner& runner, const EngineOptions& options, const Tokenizer* tokenizer)
    : world_(world),
      runner_(runner),
      tokenizer_(tokenizer),
      share_blocks_(options.enable_prefix_caching),
      scheduler_(scheduler_limits(runner)),
      watchdog_(world, Seconds(options.step_timeout_s)),
      masks_(Sampler::num_masks(runner.limits().max_num_seqs)) {
  watchdog_.watch(runner.communicator());
  if (tokenizer == nullptr) return;
  const ModelConfig& config = runner.config();
  grammars_ = std::make_unique<grammar::GrammarCompiler>(*tokenizer, config.vocab_size, config.eos_token_ids);
}

void Engine::check_request(const std::vector<int32_t>& prompt, const SamplingParams& params) const {
  const int64_t vocab_size = runner_.config().vocab_size;
  for (const int32_t token : prompt) {
    check(token >= 0 && token < vocab_size, "prompt token id {} is outside the vocabulary, 0 to {}", token, vocab_size - 1);
  }
  for (const auto& [token, bias] : params.logit_bias) {
    check(token >= 0 && token < vocab_size, "logit_bias names token id {}, outside the vocabulary, 0 to {}", token,
          vocab_size - 1);
    check(!std::isnan(bias) && bias < std::numeric_limits<float>::infinity(), "logit_bias of token {} is {}; allowed: a number",
          token, bias);
  }
  check(tokenizer_ != nullptr || params.stop.empty(),
        "stop strings need a tokenizer, and the model has none; use --stop-token-ids");
  if (params.grammar.kind != GrammarKind::kNone) {
    check(tokenizer_ != nullptr, "output in a given form needs a tokenizer, and the model has none");
    for (const auto& [token, bias] : params.logit_bias) {
      check(!std::isinf(bias), "logit_bias bans token {} where the output must have a form; allowed: a finite number", token);
    }
  }
  check(params.n >= 1, "n is {}; allowed: 1 and more", params.n);
  check(params.logprobs <= kMaxTopLogprobs && params.prompt_logprobs <= kMaxTopLogprobs,
        "logprobs is {} and prompt_logprobs {}; allowed: at most {}", params.logprobs, params.prompt_logprobs, kMaxTopLogprobs);
}

int64_t Engine::add(std::vector<int32_t> prompt, const SamplingParams& params, const RequestOptions& options) {
  check_request(prompt, params);
  const ModelConfig& config = runner_.config();
  const int64_t id = next_request_;
  std::vector<int32_t> stop_tokens = params.stop_token_ids;
  if (!params.ignore_eos) stop_tokens.insert(stop_tokens.end(), config.eos_token_ids.begin(), config.eos_token_ids.end());
  std::shared_ptr<grammar::CompiledGrammar> form;
  if (params.grammar.kind != GrammarKind::kNone) form = grammars_->compile(params);
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (int32_t index = 0; index < params.n; ++index) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = next_sequence_ + index;
    sequence->request = id;
    sequence->index = index;
    sequence->prompt_len = static_cast<int64_t>(prompt.size());
    sequence->max_len = std::min(sequence->prompt_len + params.max_tokens, runner_.limits().max_model_len);
    sequence->tokens = prompt;
    sequence->params = params;
    if (index > 0) sequence->params.prompt_logprobs = -1;
    sequence->seed = params.seed ? *params.seed + static_cast<uint64_t>(index) : random_seed();
    sequence->stop_tokens = stop_tokens;
    if (form != nullptr) {
      sequence->needs_host = true;
      for (const int32_t token : stop_tokens) {
        if (!form->vocabulary().text(token, /*is_first=*/false).empty()) sequence->text_stops.push_back(token);
      }
    }
    sequence->priority = options.priority;
    if (options.timeout) {
      sequence->deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(*options.timeout);
    }
    // The continuations of one prompt share its blocks in any case.
    sequence->shares_blocks = share_blocks_ || params.n > 1;
    sequence->variant = share_blocks_ ? "salt " + options.cache_salt : fmt::format("request {}", id);
    sequences.push_back(std::move(sequence));
  }
  for (std::unique_ptr<Sequence>& sequence : sequences) {  // the first is refused if any is
    const int64_t number = sequence->id;
    scheduler_.add(std::move(sequence));
    requests_[id].sequences.push_back(number);
    Live& live = live_[number];
    if (tokenizer_ != nullptr) live.text.emplace(*tokenizer_, params.stop, params.min_tokens, params.skip_special_tokens);
    if (form != nullptr) {
      live.grammar = std::make_unique<grammar::GrammarMatcher>(form);
      ++num_with_grammar_;
    }
  }
  next_sequence_ += params.n;
  return next_request_++;
}

bool Engine::cancel(int64_t id) {
  const auto request = requests_.find(id);
  if (request == requests_.end()) return false;
  for (const int64_t number : std::vector<int64_t>(request->second.sequences)) {
    ++totals_.num_cancelled;
    forget(*scheduler_.find(number));
  }
  return true;
}

void Engine::forget(Sequence& sequence) {
  const auto request = requests_.find(sequence.request);
  std::erase(request->second.sequences, sequence.id);
  if (request->second.sequences.empty()) requests_.erase(request);
  if (sequence.needs_host) --num_with_grammar_;
  live_.erase(sequence.id);
  scheduler_.remove(sequence);
}

void Engine::end_late_ones(std::vector<SequenceOutput>& outputs) {
  for (Sequence* sequence : scheduler_.expired(Clock::now())) {
    SequenceOutput& out = outputs.emplace_back();
    out.id = sequence->request;
    out.index = sequence->index;
    out.num_cached_tokens = std::max<int64_t>(sequence->num_cached, 0);
    out.finish = FinishReason::kTimeout;
    if (Live& live = live_.at(sequence->id); live.text) out.text = live.text->finish();
    ++totals_.num_timed_out;
    forget(*sequence);
  }
}

void Engine::send(StepPlan& plan) {
  const TraceSpan span("broadcast");
  plan.collectives = runner_.communicator().log().num_begun();
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
  if (num_with_grammar_ > 0) place_masks(plan);
  watchdog_.progress(describe(plan));
  send(plan);
  runner_.launch(plan);
  tokens_in_flight_.push_back(plan.num_tokens());
  return true;
}

void Engine::place_masks(StepPlan& plan) {
  const TraceSpan span("mask");
  auto sampling = scheduler_.sampling().begin();
  for (PlannedSequence& planned : plan.sequences) {
    if (!planned.sample) continue;
    const Sequence& sequence = **sampling++;
    if (sequence.needs_host) planned.mask = masks_.place(*live_.at(sequence.id).grammar->mask(), plan);
  }
}

size_t Engine::steps_ahead() const {
  // Those that need the host are in every other step only when steps run ahead. Where they are many, it is better that the device
  // waits a moment for the host: the pause costs all a few per cent, running ahead costs those half their speed.
  constexpr size_t kMany = 8;  // one in so many
  return num_with_grammar_ * kMany > live_.size() ? 1 : runner_.max_in_flight();
}

std::vector<SequenceOutput> Engine::step() {
  // Until the device has two steps to do, or there is nothing that can be scheduled without the results of those.
  const Watchdog::Guard guard(watchdog_, "the next step");
  std::vector<SequenceOutput> outputs;
  end_late_ones(outputs);
  while (runner_.num_in_flight() < steps_ahead() && launch_next()) {
  }
  last_step_tokens_ = 0;
  if (runner_.num_in_flight() == 0) return outputs;
  StepResult result;
  {
    const TraceSpan span("wait");
    result = runner_.wait();
  }
  const TraceSpan span("output");
  last_step_tokens_ = tokens_in_flight_.front();
  tokens_in_flight_.pop_front();
  take(result, outputs);
  return outputs;
}

TokenLogprobs Engine::read(const LogprobResult& result, int32_t wanted) const {
  TokenLogprobs out;
  out.logprob = result.chosen;
  for (int32_t k = 0; k < std::min<int64_t>(wanted, runner_.config().vocab_size); ++k) {
    out.top.push_back({result.top_token[k], result.top_logprob[k]});
  }
  return out;
}

void Engine::take_prompts(const std::vector<PromptPart>& parts, const StepResult& result) {
  const LogprobResult* next = result.prompt_logprobs.data();
  for (const PromptPart& part : parts) {
    const LogprobResult* results = std::exchange(next, next + part.count);
    if (part.sequence == nullptr) continue;
    std::vector<TokenLogprobs>& all = live_.at(part.sequence->id).prompt_logprobs;
    all.resize(static_cast<size_t>(part.first - 1));  // fewer than before: it was preempted and begins again
    for (int64_t i = 0; i < part.count; ++i) all.push_back(read(results[i], part.sequence->params.prompt_logprobs));
  }
  check(next == result.prompt_logprobs.data() + result.prompt_logprobs.size(), "a step scored {} tokens of prompts, not {}",
        result.prompt_logprobs.size(), next - result.prompt_logprobs.data());
}

SequenceOutput Engine::take_token(Sequence& sequence, int32_t token, const LogprobResult* logprobs) {
  SequenceOutput out;
  out.id = sequence.request;
  out.index = sequence.index;
  out.token = token;
  out.num_cached_tokens = sequence.num_cached;
  if (logprobs != nullptr) out.logprobs = read(*logprobs, sequence.params.logprobs);
  Live& live = live_.at(sequence.id);
  out.prompt_logprobs = std::exchange(live.prompt_logprobs, {});
  if (sequence.num_known() == sequence.prompt_len && !std::exchange(requests_.at(sequence.request).has_output, true)) {
    totals_.prompt_tokens += sequence.prompt_len;
  }
  ++totals_.output_tokens;
  scheduler_.append(sequence, token);
  if (live.text) {
    // A stop token ends the text without being part of it.
    const bool is_text = sequence.finish != FinishReason::kStop;
    if (is_text) out.text = live.text->push(token);
    if (live.text->stopped()) sequence.finish = FinishReason::kStop;
    if (is_text && live.grammar != nullptr) {
      live.grammar->accept(token);
      if (live.grammar->is_complete()) sequence.finish = FinishReason::kStop;
    }
    if (sequence.finish != FinishReason::kNone) out.text += live.text->finish();
  }
  out.finish = sequence.finish;
  if (out.finish == FinishReason::kStop) ++totals_.num_stopped;
  if (out.finish == FinishReason::kLength) ++totals_.num_at_length;
  if (out.finish != FinishReason::kNone) forget(sequence);
  return out;
}

void Engine::take(const StepResult& result, std::vector<SequenceOutput>& outputs) {
  const CommittedStep step = scheduler_.commit();
  check(step.sampled.size() == result.tokens.size(), "a step sampled {} tokens for {} sequences", result.tokens.size(),
        step.sampled.size());
  ++totals_.num_steps;
  take_prompts(step.prompts, result);
  outputs.reserve(outputs.size() + step.sampled.size());
  for (size_t i = 0; i < step.sampled.size(); ++i) {
    if (step.sampled[i] == nullptr) continue;  // had ended with the step before
    const int32_t index = result.logprob_index[i];
    outputs.push_back(
        take_token(*step.sampled[i], result.tokens[i], index < 0 ? nullptr : &result.logprobs[static_cast<size_t>(index)]));
  }
}

EngineStats Engine::stats() const {
  EngineStats stats = totals_;
  const SchedulerStats s = scheduler_.stats();
  stats.num_running = s.num_running;
  stats.num_waiting = s.num_waiting;
  stats.num_blocks = s.num_blocks;
  stats.num_blocks_used = s.num_blocks_used;
  stats.num_preemptions = s.num_preemptions;
  stats.prefix_queries = s.prefix_queries;
  stats.prefix_hits = s.prefix_hits;
  return stats;
}

void Engine::drain() {
  std::vector<SequenceOutput> dropped;
  while (runner_.num_in_flight() > 0) take(runner_.wait(), dropped);
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
    watchdog.rest();
    world.broadcast(bytes, "the step plan", /*idle=*/true);
    const StepPlan plan = StepPlan::deserialize(bytes);
    const Watchdog::Guard guard(watchdog, describe(plan));
    check_same_place(world, runner, plan);
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
