// EngineLoop: between the threads of the network and the engine, which only the thread that runs the loop touches. Requests come
// in through a bounded queue; what the engine gives is left at each request, for whoever reads it in its own time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"

namespace lockstep {

// A request on its way through the engine. Made by the network's threads.
class Generation {
 public:
  struct Event {
    size_t prompt = 0;
    SequenceOutput output;
  };
  // prompts: one request of the engine each. wake: called by the thread that hands out what has come, once until take() is
  // called; must not block.
  Generation(std::vector<std::vector<int32_t>> prompts, SamplingParams sampling, RequestOptions options,
             std::function<void()> wake);

  int64_t num_sequences() const { return static_cast<int64_t>(prompts_.size()) * sampling_.n; }
  // What has come since the last time. error: why the engine refused the request, if it did; then nothing more comes.
  std::vector<Event> take(std::string& error);
  void wake() { wake_(); }

 private:
  friend class EngineLoop;
  // True where nobody has been told yet that something has come.
  bool put(Event event);
  bool fail(std::string error);

  std::vector<std::vector<int32_t>> prompts_;
  SamplingParams sampling_;
  RequestOptions options_;
  std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<Event> events_;
  std::string error_;
  bool told_ = false;
  // Of the loop:
  std::vector<int64_t> requests_;
  int64_t num_running_ = 0;
};

// What the loop tells about the engine.
struct EngineObserver {
  std::function<void(const EngineStats& stats)> on_step;                                 // after every step, and while idle
  std::function<void(std::vector<std::shared_ptr<Generation>> generations)> on_outputs;  // these have something to take
};

class EngineLoop {
 public:
  // max_sequences: that may run and wait in all.
  EngineLoop(Engine& engine, int64_t max_sequences, EngineObserver observer);

  // From any thread. False: the queue is full, or the server is about to end.
  bool submit(std::shared_ptr<Generation> generation);
  // Ends it at once: within a step its blocks are free. Nothing happens where it has ended.
  void cancel(const std::shared_ptr<Generation>& generation);
  int64_t max_sequences() const { return max_sequences_; }
  int64_t num_sequences() const { return num_sequences_; }

  // Steps while there is work, and waits while there is none. Returns when `stop` says so and all has been answered, or the time
  // for that, in seconds, is over. on_stop: called once, as soon as no more requests are taken.
  void run(const std::function<bool()>& stop, double drain_timeout_s, const std::function<void()>& on_stop);

 private:
  struct Command {
    std::shared_ptr<Generation> generation;
    bool cancels = false;
  };
  struct Part {
    std::shared_ptr<Generation> generation;
    size_t prompt = 0;
  };
  void take_commands(bool wait);
  void start(const std::shared_ptr<Generation>& generation);
  void stop_generation(const std::shared_ptr<Generation>& generation);
  void step();
  void forget(Generation& generation);

  Engine& engine_;
  int64_t max_sequences_;
  EngineObserver observer_;
  std::atomic<int64_t> num_sequences_{0};
  std::atomic<bool> accepts_{true};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Command> commands_;
  std::unordered_map<int64_t, Part> parts_;  // by the engine's request
};

}  // namespace lockstep
