// DecodeGraphs: the recorded decode steps of an asynchronous device, one for each size of batch and of context.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "comm/communicator.h"
#include "kernels/backend.h"

namespace lockstep {

class DecodeGraphs {
 public:
  // max_seqs: the largest batch of a decode step.
  DecodeGraphs(Backend& backend, Communicator& comm, int64_t max_seqs, int64_t max_context);

  // The sizes of batches up to max_seqs that have graphs of their own.
  static std::vector<int64_t> buckets(int64_t max_seqs);

  // A decode step of a kind is padded to `bucket` sequences and may take its bounds from `max_context`, so that few graphs serve
  // all steps.
  struct Shape {
    int64_t bucket = 0;
    int64_t max_context = 0;
    bool samples = false;  // the step ends with tokens, not with logits
    auto operator<=>(const Shape&) const = default;
  };
  Shape shape_for(int64_t num_seqs, int64_t max_context, bool samples) const;

  // Runs `work`, whose ops and their arguments depend on the shape alone: as it is the first time, so that whatever is lazy has
  // happened; recorded from then on, where the backend records. generation: another value forgets what was recorded before (the
  // arguments have moved).
  void run(const Shape& shape, int64_t generation, const std::function<void()>& work);

  size_t size() const { return graphs_.size(); }

 private:
  struct Graph {
    std::unique_ptr<RecordedWork> work;  // null after the first time
    CommCounters counted;                // by the collectives within
  };

  Backend& backend_;
  Communicator& comm_;
  std::vector<int64_t> buckets_;
  int64_t max_context_;
  int64_t generation_ = 0;
  std::map<Shape, Graph> graphs_;
};

}  // namespace lockstep
