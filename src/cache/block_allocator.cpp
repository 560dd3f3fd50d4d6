#include "cache/block_allocator.h"

#include "base/error.h"

namespace lockstep {

BlockAllocator::BlockAllocator(int64_t num_blocks) : num_blocks_(num_blocks), in_use_(static_cast<size_t>(num_blocks), false) {
  free_.reserve(static_cast<size_t>(num_blocks));
  for (int64_t block = num_blocks - 1; block >= 0; --block) free_.push_back(static_cast<int32_t>(block));
}

int32_t BlockAllocator::allocate() {
  check(!free_.empty(), "no KV block is free; all {} are in use", num_blocks_);
  const int32_t block = free_.back();
  free_.pop_back();
  in_use_[static_cast<size_t>(block)] = true;
  return block;
}

void BlockAllocator::release(int32_t block) {
  check(block >= 0 && block < num_blocks_ && in_use_[static_cast<size_t>(block)], "KV block {} of {} is released but not in use",
        block, num_blocks_);
  in_use_[static_cast<size_t>(block)] = false;
  free_.push_back(block);
}

}  // namespace lockstep
