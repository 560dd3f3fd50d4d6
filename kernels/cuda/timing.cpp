#include "kernels/cuda/timing.h"

#include <memory>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/statistics.h"

namespace lockstep::cuda {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
struct DestroyGraphExec {
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;
using GraphExec = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, DestroyGraphExec>;

GraphExec capture(cudaStream_t stream, const std::function<void()>& work) {
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t raw = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream, &raw);
    if (raw) cudaGraphDestroy(raw);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream, &raw), "cudaStreamEndCapture");
  const Graph graph(raw);
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
  return GraphExec(executable);
}

}  // namespace

double time_as_graph(cudaStream_t stream, const std::function<void()>& work, int repeats) {
  check(repeats >= 1, "timing of {} runs; at least one", repeats);
  work();
  const GraphExec graph = capture(stream, work);
  check_cuda(cudaGraphLaunch(graph.get(), stream), "cudaGraphLaunch");  // the first launch uploads the graph
  std::vector<Event> events(static_cast<size_t>(repeats) + 1);
  events.front().record(stream);
  for (size_t i = 1; i < events.size(); ++i) {
    check_cuda(cudaGraphLaunch(graph.get(), stream), "cudaGraphLaunch");
    events[i].record(stream);
  }
  check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  std::vector<double> seconds;
  for (size_t i = 1; i < events.size(); ++i) seconds.push_back(static_cast<double>(events[i].seconds_since(events[i - 1])));
  return median(std::move(seconds));
}

}  // namespace lockstep::cuda
