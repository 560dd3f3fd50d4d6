#include "engine/decode_graphs.h"

#include <algorithm>
#include <bit>

namespace lockstep {
namespace {

constexpr int64_t kSmallestContext = 256;

// Few sequences: the padding is what a kernel rounds to anyway. More: at most an eighth too many.
int64_t next_bucket(int64_t bucket) {
  if (bucket < 8) return bucket * 2;
  if (bucket < 64) return bucket + 8;
  if (bucket < 128) return bucket + 16;
  if (bucket < 256) return bucket + 32;
  return bucket + 64;
}

}  // namespace

DecodeGraphs::DecodeGraphs(Backend& backend, Communicator& comm, int64_t max_seqs, int64_t max_context)
    : backend_(backend), comm_(comm), buckets_(buckets(max_seqs)), max_context_(max_context) {}

std::vector<int64_t> DecodeGraphs::buckets(int64_t max_seqs) {
  std::vector<int64_t> all;
  for (int64_t bucket = 1; bucket < max_seqs; bucket = next_bucket(bucket)) all.push_back(bucket);
  all.push_back(max_seqs);
  return all;
}

DecodeGraphs::Shape DecodeGraphs::shape_for(int64_t num_seqs, int64_t max_context, bool samples) const {
  Shape shape;
  shape.bucket = *std::lower_bound(buckets_.begin(), buckets_.end(), num_seqs);
  const auto rounded = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(max_context, kSmallestContext))));
  shape.max_context = std::max(max_context, std::min(rounded, max_context_));
  shape.samples = samples;
  return shape;
}

void DecodeGraphs::run(const Shape& shape, int64_t generation, const std::function<void()>& work) {
  if (generation != generation_) graphs_.clear();
  generation_ = generation;
  const auto [place, first_time] = graphs_.try_emplace(shape);
  Graph& graph = place->second;
  if (first_time) return work();
  if (graph.work == nullptr) {
    const CommCounters before = comm_.counters();
    graph.work = backend_.record(work);
    if (graph.work == nullptr) return work();
    graph.counted = comm_.counters() - before;
  } else {
    comm_.count(graph.counted);
  }
  graph.work->launch();
}

}  // namespace lockstep
