// Session: a model on the ranks of a World, and rank 0's engine: what every command that answers prompts is made of, and LLM.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/world.h"
#include "config/model_config.h"
#include "config/options.h"
#include "engine/engine.h"
#include "engine/model_runner.h"
#include "engine/rank_memory.h"
#include "text/tokenizer.h"

namespace lockstep {

class Session {
 public:
  using Clock = std::chrono::steady_clock;
  // One step of the engine.
  struct Step {
    Clock::time_point begin, end;
    std::vector<SequenceOutput> outputs;
  };

  // Collective: reads the model's configuration, and the tokenizer on rank 0. `resolve` gives the engine's options, the same on
  // every rank; it may throw Error. The world must outlive the session. Throws PhaseFailed or Error, here and in bring_up().
  Session(const World& world, const std::function<EngineOptions()>& resolve);
  // Collective: weights, KV cache and, on rank 0, the engine.
  void bring_up(const Workload& workload);
  bool is_up() const { return is_up_; }

  const World& world() const { return world_; }
  const EngineOptions& options() const { return options_; }
  const ModelConfig& config() const { return config_; }
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }  // on rank 0; null where the model has none
  // The context that was asked for, or the model's; bring_up() may cut it.
  int64_t max_model_len() const;

  Engine& engine() { return *engine_; }  // of rank 0
  // Rank 0: steps the engine until there is nothing to do or `stop`, asked before each step, returns true.
  void run(const std::function<bool()>& stop, const std::function<void(Step&)>& on_step);
  // Rank 0: lets the others go.
  void shutdown();
  // The others: work until then.
  void serve_rank();

 private:
  const World& world_;
  EngineOptions options_;
  ModelConfig config_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ModelRunner> runner_;
  std::optional<Engine> engine_;
  bool is_up_ = false;
};

}  // namespace lockstep
