// BlockPool: which KV blocks are free, how many sequences use each of the others, and what full blocks hold, so that their
// contents can be used again. Lives on rank 0 with the scheduler; followers only hear block numbers.
//
// A block whose last user lets go keeps its contents until it is needed for something else: those released longest ago first.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "cache/block_hash.h"

namespace lockstep {

class BlockPool {
 public:
  explicit BlockPool(int64_t num_blocks);

  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_free() const { return num_free_; }                                // without users; they may hold contents
  int64_t num_cached() const { return static_cast<int64_t>(by_hash_.size()); }  // that can be found, used or free
  int32_t num_users(int32_t block) const { return entry(block).users; }

  // A free block with one user from now on: one that holds nothing that could be found, the one released last, so that memory
  // already touched is used again; else the one released longest ago, whose contents are forgotten. Throws Error when none is
  // free: callers ask num_free() first.
  int32_t allocate();
  // One user less. Throws Error for a block without users, which would mean that somebody else owns it.
  void release(int32_t block);

  // The block with these contents, or -1. It may be free.
  int32_t find(const BlockHash& hash) const;
  // One user more, of a block that find() gave.
  void acquire(int32_t block);
  // The block, which is in use, holds (or will, before any step that is launched from now on reads it) what the hash stands for.
  // Where another block is known for that, it stays the one that is found.
  void publish(int32_t block, const BlockHash& hash);

 private:
  // Links of the list of free blocks; entry num_blocks is its head.
  struct Entry {
    int32_t users = 0;
    int32_t next = 0;
    int32_t previous = 0;
    bool has_hash = false;
    BlockHash hash;
  };
  const Entry& entry(int32_t block) const;
  Entry& at(int32_t block) { return entries_[static_cast<size_t>(block)]; }
  int32_t head() const { return static_cast<int32_t>(num_blocks_); }
  void unlink(int32_t block);
  void link_after(int32_t block, int32_t previous);

  int64_t num_blocks_;
  int64_t num_free_;
  std::vector<Entry> entries_;
  std::unordered_map<BlockHash, int32_t> by_hash_;
};

}  // namespace lockstep
