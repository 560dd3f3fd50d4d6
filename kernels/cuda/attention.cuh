// What the attention kernels share: finding keys and values in the pages, and the query heads of a KV head.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

// Where one sequence's keys (or values; same layout) of one KV head lie.
struct KvPages {
  const int32_t* table;  // block numbers of the sequence
  uint32_t block_size;
  int64_t block_stride;  // elements between blocks
  int64_t head_offset;   // of this head within a block
  int32_t head_dim;

  __device__ KvPages(const AttentionParams& p, int seq, int kv_head)
      : table(p.block_tables + p.seq_slot[seq] * p.block_table_stride),
        block_size(static_cast<uint32_t>(p.block_size)),
        block_stride(static_cast<int64_t>(p.kv_heads) * p.block_size * p.head_dim),
        head_offset(static_cast<int64_t>(kv_head) * p.block_size * p.head_dim),
        head_dim(p.head_dim) {}

  // First element of the row of the token at `position` of the context.
  __device__ __forceinline__ int64_t offset(int position) const {
    const uint32_t block = static_cast<uint32_t>(position) / block_size;
    const uint32_t row = static_cast<uint32_t>(position) - block * block_size;
    return table[block] * block_stride + head_offset + static_cast<int64_t>(row) * head_dim;
  }
};

// The local query heads [first, first + count) that read KV head `kv_head`: those h with (h + offset) / group == kv_head.
struct QueryHeads {
  int first;
  int count;

  __device__ QueryHeads(const AttentionParams& p, int kv_head) {
    const int64_t begin = static_cast<int64_t>(kv_head) * p.group - p.offset;
    const int64_t end = begin + p.group;
    first = static_cast<int>(begin < 0 ? 0 : begin);
    count = static_cast<int>(end < p.q_heads ? end : p.q_heads) - first;
  }
};

}  // namespace lockstep::cuda
