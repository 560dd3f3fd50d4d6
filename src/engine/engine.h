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
#include "engine/mask_table.h"
#include "engine/model_runner.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/text_stream.h"
#include "grammar/compiler.h"
#include "text/tokenizer.h"

namespace lockstep {

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

  // Queues a request for params.n continuations of a prompt; ids count from 0. Throws Error for token ids outside the vocabulary,
  // a prompt that cannot fit, or parameters that mean nothing.
  int64_t add(std::vector<int32_t> prompt, const SamplingParams& params, const RequestOptions& options = {});
  // Ends a request at once: its blocks are free and nothing more comes of it. False: it has ended already, or never was.
  bool cancel(int64_t id);
  bool has_work() const { return scheduler_.has_work(); }
  // Launches what the device has room for and waits for the oldest step: the sequences whose time is up, then those that got a
  // token, in the scheduler's order.
  std::vector<SequenceOutput> step();
  // Query tokens of the step whose outputs the last step() returned; 0 where there was none.
  int64_t last_step_tokens() const { return last_step_tokens_; }
  EngineStats stats() const;
  // For those who read requests on other threads, to compile what add() then only looks up. Null without a tokenizer.
  grammar::GrammarCompiler* grammars() const { return grammars_.get(); }
  // Measures the floor on all ranks together. Throws Error while there is work.
  Floor measure_floor();
  // Releases the other ranks from serve_rank().
  void shutdown();

 private:
  // A sequence that runs or waits.
  struct Live {
    std::optional<TextStream> text;                    // with a tokenizer
    std::vector<TokenLogprobs> prompt_logprobs;        // until they are handed out
    std::unique_ptr<grammar::GrammarMatcher> grammar;  // where the output has a form
  };
  struct Request {
    std::vector<int64_t> sequences;  // that run or wait
    bool has_output = false;
  };
  void check_request(const std::vector<int32_t>& prompt, const SamplingParams& params) const;
  void send(StepPlan& plan);
  bool launch_next();  // false: nothing can be scheduled
  void place_masks(StepPlan& plan);
  size_t steps_ahead() const;  // that may be in flight
  void end_late_ones(std::vector<SequenceOutput>& outputs);
  void take_prompts(const std::vector<PromptPart>& parts, const StepResult& result);
  void take(const StepResult& result, std::vector<SequenceOutput>& outputs);
  SequenceOutput take_token(Sequence& sequence, int32_t token, const LogprobResult* logprobs);
  TokenLogprobs read(const LogprobResult& result, int32_t wanted) const;
  void forget(Sequence& sequence);
  void drain();  // waits for the steps in flight and drops what they bring

  const World& world_;
  ModelRunner& runner_;
  const Tokenizer* tokenizer_;
  bool share_blocks_;
  Scheduler scheduler_;
  Watchdog watchdog_;
  std::unique_ptr<grammar::GrammarCompiler> grammars_;
  MaskTable masks_;
  size_t num_with_grammar_ = 0;                    // of live_
  std::unordered_map<int64_t, Live> live_;         // by the id of the sequence
  std::unordered_map<int64_t, Request> requests_;  // by their ids
  int64_t next_request_ = 0;
  int64_t next_sequence_ = 0;
  EngineStats totals_;                    // what is counted here and not by the scheduler
  std::deque<int64_t> tokens_in_flight_;  // query tokens of each step
  int64_t last_step_tokens_ = 0;
};

// Every rank but 0: runs plans until rank 0 shuts down.
void serve_rank(const World& world, ModelRunner& runner, const EngineOptions& options);

}  // namespace lockstep
