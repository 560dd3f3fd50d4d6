#include "serve/engine_loop.h"

#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kIdlePause{50};  // after which an idle loop looks for a signal

}  // namespace

Generation::Generation(std::vector<std::vector<int32_t>> prompts, SamplingParams sampling, RequestOptions options,
                       std::function<void()> wake)
    : prompts_(std::move(prompts)), sampling_(std::move(sampling)), options_(std::move(options)), wake_(std::move(wake)) {}

std::vector<Generation::Event> Generation::take(std::string& error) {
  const std::lock_guard lock(mutex_);
  told_ = false;
  error = error_;
  return std::exchange(events_, {});
}

bool Generation::put(Event event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  return !std::exchange(told_, true);
}

bool Generation::fail(std::string error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  return !std::exchange(told_, true);
}

EngineLoop::EngineLoop(Engine& engine, int64_t max_sequences, EngineObserver observer)
    : engine_(engine), max_sequences_(max_sequences), observer_(std::move(observer)) {}

bool EngineLoop::submit(std::shared_ptr<Generation> generation) {
  const int64_t count = generation->num_sequences();
  if (!accepts_) return false;
  if (num_sequences_.fetch_add(count) + count > max_sequences_) {
    num_sequences_ -= count;
    return false;
  }
  const std::lock_guard lock(mutex_);
  commands_.push_back({std::move(generation), false});
  changed_.notify_one();
  return true;
}

void EngineLoop::cancel(const std::shared_ptr<Generation>& generation) {
  const std::lock_guard lock(mutex_);
  commands_.push_back({generation, true});
  changed_.notify_one();
}

void EngineLoop::take_commands(bool wait) {
  std::vector<Command> commands;
  {
    std::unique_lock lock(mutex_);
    if (wait) changed_.wait_for(lock, kIdlePause, [&] { return !commands_.empty(); });
    commands.swap(commands_);
  }
  for (const Command& command : commands) {
    if (command.cancels) {
      stop_generation(command.generation);
    } else {
      start(command.generation);
    }
  }
}

void EngineLoop::start(const std::shared_ptr<Generation>& generation) {
  Generation& g = *generation;
  g.num_running_ = g.num_sequences();
  try {
    for (std::vector<int32_t>& prompt : g.prompts_) {
      const int64_t request = engine_.add(std::move(prompt), g.sampling_, g.options_);
      parts_.emplace(request, Part{generation, g.requests_.size()});
      g.requests_.push_back(request);
    }
  } catch (const Error& error) {
    forget(g);
    if (g.fail(error.what())) observer_.on_outputs({generation});
  }
}

// Also of one that never began or has ended: then there is nothing to forget.
void EngineLoop::stop_generation(const std::shared_ptr<Generation>& generation) {
  if (generation->num_running_ > 0) forget(*generation);
}

void EngineLoop::forget(Generation& generation) {
  for (const int64_t request : generation.requests_) {
    engine_.cancel(request);
    parts_.erase(request);
  }
  generation.requests_.clear();
  generation.num_running_ = 0;
  num_sequences_ -= generation.num_sequences();
}

void EngineLoop::step() {
  std::vector<std::shared_ptr<Generation>> told;
  for (SequenceOutput& output : engine_.step()) {
    const auto part = parts_.find(output.id);
    check(part != parts_.end(), "the engine answers request {}, which nobody has made", output.id);
    const std::shared_ptr<Generation> generation = part->second.generation;
    const bool ends = output.finish != FinishReason::kNone;
    if (generation->put({part->second.prompt, std::move(output)})) told.push_back(generation);
    if (ends && --generation->num_running_ == 0) forget(*generation);
  }
  if (!told.empty()) observer_.on_outputs(std::move(told));
}

void EngineLoop::run(const std::function<bool()>& stop, double drain_timeout_s, const std::function<void()>& on_stop) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> deadline;
  for (;;) {
    if (!deadline && stop()) {
      accepts_ = false;
      deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(drain_timeout_s));
      on_stop();
    }
    take_commands(/*wait=*/!engine_.has_work());
    if (engine_.has_work()) {
      step();
    } else if (deadline && num_sequences_ == 0) {
      break;
    }
    observer_.on_step(engine_.stats());
    if (deadline && Clock::now() > *deadline) break;
  }
  std::vector<std::shared_ptr<Generation>> left;
  for (const auto& [request, part] : parts_) left.push_back(part.generation);
  std::vector<std::shared_ptr<Generation>> told;
  for (const auto& generation : left) {
    stop_generation(generation);
    if (generation->fail("the server is shutting down")) told.push_back(generation);
  }
  if (!left.empty()) spdlog::warn("{} requests were not finished in time", left.size());
  if (!told.empty()) observer_.on_outputs(std::move(told));
}

}  // namespace lockstep
