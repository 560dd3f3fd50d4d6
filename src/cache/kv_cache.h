// KvCache: this rank's paged keys and values of all layers, and the block table of every sequence slot, in device memory.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/ops.h"

namespace lockstep {

// What one layer keeps of one token on this rank. A description, so that another attention (a shared latent) can keep something
// else.
struct KvLayout {
  int64_t num_layers = 0;
  int64_t kv_heads = 0;  // of this rank; may be 0
  int64_t head_dim = 0;
  int64_t block_size = 16;  // tokens per block
  DType dtype = DType::kBFloat16;

  size_t bytes_per_token() const { return static_cast<size_t>(num_layers * 2 * kv_heads * head_dim) * size_of(dtype); }
  size_t bytes_per_block() const { return bytes_per_token() * static_cast<size_t>(block_size); }
};

class KvCache {
 public:
  // num_blocks of `layout`, and block tables for max_num_seqs slots of max_blocks_per_seq entries each.
  KvCache(Backend& backend, const KvLayout& layout, int64_t num_blocks, int64_t max_num_seqs, int64_t max_blocks_per_seq);

  // Bytes of the block tables.
  static size_t table_bytes(int64_t max_num_seqs, int64_t max_blocks_per_seq) {
    return static_cast<size_t>(max_num_seqs * max_blocks_per_seq) * sizeof(int32_t);
  }

  const KvLayout& layout() const { return layout_; }
  int64_t num_blocks() const { return num_blocks_; }
  PagedKv layer(int64_t index) const;

  int32_t* block_tables() const { return block_tables_.as<int32_t>(); }  // device, [max_num_seqs, block_table_stride]
  int64_t block_table_stride() const { return max_blocks_per_seq_; }

 private:
  KvLayout layout_;
  int64_t num_blocks_;
  int64_t max_blocks_per_seq_;
  Buffer pool_;          // [num_layers, 2 (k, v), num_blocks, kv_heads, block_size, head_dim]
  Buffer block_tables_;  // [max_num_seqs, max_blocks_per_seq] int32
};

}  // namespace lockstep
