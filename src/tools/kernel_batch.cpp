#include "tools/kernel_batch.h"

#include <vector>

namespace lockstep {

KernelBatch::KernelBatch(Backend& backend, int64_t sequences, int64_t queries, int64_t context, int64_t block_size,
                         int64_t vocab_size)
    : staging_(backend) {
  const int64_t blocks_each = blocks(1, context, block_size);
  std::vector<int32_t> ids, positions, slots, starts, contexts, seq_slots, tables, rows;
  std::vector<int64_t> kv_index;
  for (int64_t s = 0; s < sequences; ++s) {
    starts.push_back(static_cast<int32_t>(ids.size()));
    contexts.push_back(static_cast<int32_t>(context));
    seq_slots.push_back(static_cast<int32_t>(s));
    for (int64_t i = 0; i < blocks_each; ++i) tables.push_back(static_cast<int32_t>(s * blocks_each + i));
    for (int64_t position = context - queries; position < context; ++position) {
      ids.push_back(static_cast<int32_t>((s * 7919 + position * 104729) % vocab_size));
      positions.push_back(static_cast<int32_t>(position));
      slots.push_back(static_cast<int32_t>(s));
      kv_index.push_back(s * blocks_each * block_size + position);  // a sequence's blocks follow each other
    }
    rows.push_back(static_cast<int32_t>(ids.size()) - 1);
  }
  starts.push_back(static_cast<int32_t>(ids.size()));
  const auto p_kv_index = staging_.add(kv_index);
  const auto p_ids = staging_.add(ids);
  const auto p_positions = staging_.add(positions);
  const auto p_slots = staging_.add(slots);
  const auto p_starts = staging_.add(starts);
  const auto p_contexts = staging_.add(contexts);
  const auto p_seq_slots = staging_.add(seq_slots);
  const auto p_tables = staging_.add(tables);
  const auto p_rows = staging_.add(rows);
  staging_.upload();
  backend.synchronize();
  view_.num_tokens = static_cast<int32_t>(ids.size());
  view_.num_seqs = static_cast<int32_t>(sequences);
  view_.max_query_len = static_cast<int32_t>(queries);
  view_.max_context_len = static_cast<int32_t>(context);
  view_.token_ids = staging_.device(p_ids);
  view_.positions = staging_.device(p_positions);
  view_.token_slot = staging_.device(p_slots);
  view_.kv_index = staging_.device(p_kv_index);
  view_.query_start = staging_.device(p_starts);
  view_.context_len = staging_.device(p_contexts);
  view_.seq_slot = staging_.device(p_seq_slots);
  view_.block_tables = staging_.device(p_tables);
  view_.block_table_stride = blocks_each;
  rows_ = staging_.device(p_rows);
}

}  // namespace lockstep
