#include "cache/kv_cache.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lockstep {

KvCache::KvCache(Backend& backend, const KvLayout& layout, int64_t num_blocks, int64_t max_num_seqs, int64_t max_blocks_per_seq)
    : layout_(layout), num_blocks_(num_blocks), max_blocks_per_seq_(max_blocks_per_seq) {
  check(num_blocks > 0 && layout.block_size > 0, "the KV cache needs at least one block of at least one token, not {} of {}",
        num_blocks, layout.block_size);
  pool_ = Buffer(backend, layout.bytes_per_block() * static_cast<size_t>(num_blocks),
                 fmt::format("the KV cache ({} blocks of {} tokens)", num_blocks, layout.block_size));
  block_tables_ = Buffer(backend, table_bytes(max_num_seqs, max_blocks_per_seq), "block tables");
  backend.set_zero(block_tables_.data(), block_tables_.bytes());
}

PagedKv KvCache::layer(int64_t index) const {
  check(index >= 0 && index < layout_.num_layers, "the KV cache has {} layers, not a layer {}", layout_.num_layers, index);
  const size_t half = layout_.bytes_per_block() / static_cast<size_t>(2 * layout_.num_layers) * static_cast<size_t>(num_blocks_);
  char* k = pool_.as<char>() + static_cast<size_t>(index) * 2 * half;
  return {k, k + half, layout_.dtype, num_blocks_, layout_.kv_heads, layout_.block_size, layout_.head_dim};
}

}  // namespace lockstep
