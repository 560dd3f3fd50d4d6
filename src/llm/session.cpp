#include "llm/session.h"

#include "base/trace.h"
#include "engine/bring_up.h"
#include "engine/load_tokenizer.h"

namespace lockstep {

Session::Session(const World& world, const std::function<EngineOptions()>& resolve) : world_(world) {
  world.phase("reading the model's configuration", [&] {
    options_ = resolve();
    config_ = load_model_config(options_.model, options_.max_model_len);
  });
  world.phase("reading the tokenizer", [&] {
    if (world.is_root()) tokenizer_ = load_tokenizer(config_, options_);
  });
}

void Session::bring_up(const Workload& workload) {
  runner_ = lockstep::bring_up(world_, options_, config_, workload);
  if (world_.is_root()) engine_.emplace(world_, *runner_, options_, tokenizer_.get());
  is_up_ = true;
}

int64_t Session::max_model_len() const {
  if (runner_ != nullptr) return runner_->limits().max_model_len;
  return options_.max_model_len > 0 ? options_.max_model_len : config_.max_position_embeddings;
}

void Session::run(const std::function<bool()>& stop, const std::function<void(Step&)>& on_step) {
  while (engine_->has_work() && !stop()) {
    Step step;
    step.begin = Clock::now();
    {
      const TraceSpan span("step");
      step.outputs = engine_->step();
    }
    step.end = Clock::now();
    on_step(step);
  }
}

void Session::shutdown() { engine_->shutdown(); }

void Session::serve_rank() { lockstep::serve_rank(world_, *runner_, options_); }

}  // namespace lockstep
