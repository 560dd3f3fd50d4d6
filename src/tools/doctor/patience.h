// Patience: runs what may hang, and goes on without it after a while.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace lockstep::doctor {

// The result of `work`, or nothing after `limit`: then its thread goes on by itself, so `work` must own what it touches. What
// `work` throws counts as no result; `why` says which of both it was.
template <typename T>
std::optional<T> run_within(std::chrono::duration<double> limit, std::function<T()> work, std::string& why) {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<T> result;
    std::string error;
    bool done = false;
  };
  const auto shared = std::make_shared<Shared>();
  std::thread([shared, work = std::move(work)] {
    std::optional<T> result;
    std::string error;
    try {
      result = work();
    } catch (const std::exception& e) {
      error = e.what();
    }
    const std::lock_guard lock(shared->mutex);
    shared->result = std::move(result);
    shared->error = std::move(error);
    shared->done = true;
    shared->changed.notify_all();
  }).detach();
  std::unique_lock lock(shared->mutex);
  if (!shared->changed.wait_for(lock, limit, [&] { return shared->done; })) {
    char text[64];
    std::snprintf(text, sizeof(text), "no answer within %.1f s", limit.count());
    why = text;
    return std::nullopt;
  }
  why = shared->error;
  return std::move(shared->result);
}

}  // namespace lockstep::doctor
