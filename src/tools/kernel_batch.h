// KernelBatch: the queries of a made-up step, in device memory, for timing single operations.
#pragma once

#include <cstdint>

#include "engine/staging.h"
#include "kernels/backend.h"
#include "kernels/ops.h"

namespace lockstep {

class KernelBatch {
 public:
  // `sequences` sequences with `queries` query tokens each, the last of a context of `context` tokens; sequence s owns the blocks
  // from s * blocks_per_sequence() on. Token ids are spread over the vocabulary.
  KernelBatch(Backend& backend, int64_t sequences, int64_t queries, int64_t context, int64_t block_size, int64_t vocab_size);

  const BatchView& view() const { return view_; }
  const int32_t* rows() const { return rows_; }  // device, [sequences]: the last query token of each

  static int64_t blocks(int64_t sequences, int64_t context, int64_t block_size) {
    return sequences * ((context + block_size - 1) / block_size);
  }

 private:
  Staging staging_;
  BatchView view_;
  const int32_t* rows_ = nullptr;
};

}  // namespace lockstep
