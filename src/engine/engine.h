// Engine: rank 0's loop: schedule, broadcast the plan, run it, hand out tokens and text. The other ranks are in serve_rank().
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/watchdog.h"
#include "comm/world.h"
#include "config/options.h"
#include "engine/model_runner.h"
#include "engine/scheduler.h"
#include "engine/text_stream.h"
#include "text/tokenizer.h"

namespace lockstep {

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;
};

// What one step brought for one sequence.
struct SequenceOutput {
  int64_t id = 0;
  int32_t token = 0;
  std::string text;  // newly certain text; empty without a tokenizer
  std::optional<float> logprob;
  std::vector<TokenLogprob> top_logprobs;
  FinishReason finish = FinishReason::kNone;
};

// The physical floor of a decode step, measured on every rank at once.
struct Floor {
  int64_t bytes_per_step = 0;     // weights read by the rank that takes longest
  double bandwidth = 0.0;         // bytes/s that this rank reads while all ranks read
  double seconds_per_step = 0.0;  // the longest over ranks
};

class Engine {
 public:
  // Rank 0 only. Borrows all; tokenizer may be null (token ids in, token ids out; stop strings are then refused).
  Engine(const World& world, ModelRunner& runner, const EngineOptions& options, const Tokenizer* tokenizer);

  // Queues a prompt; ids count from 0. Throws Error for token ids outside the vocabulary or a prompt that cannot fit.
  int64_t add(std::vector<int32_t> prompt, const SamplingParams& params);
  bool has_work() const { return scheduler_.has_work(); }
  // Launches what the device has room for and waits for the oldest step: the sequences that got a token in it, in the scheduler's
  // order.
  std::vector<SequenceOutput> step();
  // Query tokens of the step whose outputs the last step() returned; 0 where there was none.
  int64_t last_step_tokens() const { return last_step_tokens_; }
  int64_t num_preemptions() const { return scheduler_.num_preemptions(); }  // since the start
  // Measures the floor on all ranks together. Throws Error while there is work.
  Floor measure_floor();
  // Releases the other ranks from serve_rank().
  void shutdown();

 private:
  void send(const StepPlan& plan);
  bool launch_next();  // false: nothing can be scheduled
  std::vector<SequenceOutput> take(const StepResult& result);
  void drain();  // waits for the steps in flight and drops what they bring

  const World& world_;
  ModelRunner& runner_;
  const Tokenizer* tokenizer_;
  Scheduler scheduler_;
  Watchdog watchdog_;
  std::unordered_map<int64_t, TextStream> texts_;  // of sequences that run or wait
  int64_t next_id_ = 0;
  std::deque<int64_t> tokens_in_flight_;  // query tokens of each step
  int64_t last_step_tokens_ = 0;
};

// Every rank but 0: runs plans until rank 0 shuts down.
void serve_rank(const World& world, ModelRunner& runner, const EngineOptions& options);

}  // namespace lockstep
