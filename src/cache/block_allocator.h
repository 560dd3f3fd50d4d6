// BlockAllocator: which KV blocks are free. Lives on rank 0 with the scheduler; followers only hear block numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

class BlockAllocator {
 public:
  explicit BlockAllocator(int64_t num_blocks);

  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t num_blocks() const { return num_blocks_; }

  // A free block, the one released last, so that memory already touched is used again. Throws Error when none is left: callers
  // ask num_free() first.
  int32_t allocate();
  // Throws Error for a block that is not in use, which would mean that two sequences own it.
  void release(int32_t block);

 private:
  int64_t num_blocks_;
  std::vector<int32_t> free_;  // used as a stack
  std::vector<bool> in_use_;
};

}  // namespace lockstep
