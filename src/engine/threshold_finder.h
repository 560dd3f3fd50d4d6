// ThresholdFinder: which logits top-k, top-p and min-p leave, found by all ranks together, each over its shard.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "kernels/threshold_search.h"

namespace lockstep {

// Which filters the rows of a step have; known on the host, the same on every rank.
struct FilterNeeds {
  bool top_k = false;
  bool top_p = false;
  bool min_p = false;
  bool any() const { return top_k || top_p || min_p; }
};

class ThresholdFinder {
 public:
  ThresholdFinder(Backend& backend, Communicator& comm, int32_t max_rows);

  // The threshold of each row, float32 [S] on the device. logits: [S, V] float32, processed, of this rank's shard; rows: [S],
  // device. One AllGather of 4 bytes a row, and for top-k and top-p four each of kRowBytes a row.
  const float* find(TensorView logits, const SamplingRow* rows, const FilterNeeds& needs);

  // The most that a row sends in one AllGather.
  static constexpr size_t kRowBytes = kSearchDigitValues * sizeof(uint64_t);

 private:
  // What all ranks have in `mine`, [tp, S, bytes_of_row]; `all` is where it goes.
  const void* exchange(const Buffer& mine, Buffer& all, int64_t num_rows, size_t bytes_of_row);
  void descend(TensorView logits, const SamplingRow* rows, TokenFilter filter);

  Backend& backend_;
  Communicator& comm_;
  Buffer search_;       // [max_rows] ThresholdSearch
  Buffer maxima_;       // [max_rows] uint32
  Buffer all_maxima_;   // [tp, max_rows]
  Buffer weights_;      // [max_rows, kSearchDigitValues] uint64
  Buffer all_weights_;  // [tp, max_rows, kSearchDigitValues]
  Buffer thresholds_;   // [max_rows]
};

}  // namespace lockstep
