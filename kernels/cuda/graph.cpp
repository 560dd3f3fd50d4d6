#include "kernels/cuda/graph.h"

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

Graph::Graph(cudaStream_t stream, const std::function<void()>& work) : stream_(stream) {
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(status, "cudaGraphInstantiate");
}

Graph::~Graph() { cudaGraphExecDestroy(executable_); }

void Graph::launch() { check_cuda(cudaGraphLaunch(executable_, stream_), "cudaGraphLaunch"); }

}  // namespace lockstep::cuda
