#include "kernels/cuda/timing.h"

#include <vector>

#include "base/error.h"
#include "base/statistics.h"
#include "kernels/cuda/graph.h"

namespace lockstep::cuda {
double time_as_graph(cudaStream_t stream, const std::function<void()>& work, int repeats) {
  check(repeats >= 1, "timing of {} runs; at least one", repeats);
  work();
  Graph graph(stream, work);
  graph.launch();  // the first launch uploads the graph
  std::vector<Event> events(static_cast<size_t>(repeats) + 1);
  events.front().record(stream);
  for (size_t i = 1; i < events.size(); ++i) {
    graph.launch();
    events[i].record(stream);
  }
  check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  std::vector<double> seconds;
  for (size_t i = 1; i < events.size(); ++i) seconds.push_back(static_cast<double>(events[i].seconds_since(events[i - 1])));
  return median(std::move(seconds));
}

}  // namespace lockstep::cuda
