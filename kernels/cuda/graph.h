// CUDA graphs: work captured once and launched again and again.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace lockstep::cuda {

class Graph {
 public:
  // Captures what `work` launches on `stream`, which must allocate nothing and not wait for the device. What `work` throws passes
  // through.
  Graph(cudaStream_t stream, const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch();

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace lockstep::cuda
