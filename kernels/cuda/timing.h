// Times on the device, by events.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

// An event that destroys itself.
class Event {
 public:
  Event() { check_cuda(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) { check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  // Both must have been reached by their stream.
  float seconds_since(const Event& start) const {
    float milliseconds = 0.0f;
    check_cuda(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
    return milliseconds * 1e-3f;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Median seconds of `repeats` launches of the graph that `work` makes on the stream. Runs `work` once as it is before capturing
// it, so that it may allocate then; waits for the stream.
double time_as_graph(cudaStream_t stream, const std::function<void()>& work, int repeats);

}  // namespace lockstep::cuda
