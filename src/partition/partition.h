// Partition: the pure function (config, tp, rank) -> which slice of which checkpoint tensor lands where. The only code that
// divides by tp.
//
//   query heads  contiguous runs, sizes differ by at most one; a rank holds the KV heads that its run reads, so a KV head is
//                replicated where a run cuts its group
//   FFN columns  contiguous runs of units of kFfnUnit columns (the last unit may be short)
//   vocabulary   contiguous runs of units of kVocabUnit rows (likewise)
//
// A rank may hold none of something; it still joins every AllReduce. The names of tensors are Hugging Face's for Llama, Qwen2,
// Qwen3 and Mistral.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model_config.h"
#include "kernels/ops.h"

namespace lockstep {

inline constexpr int64_t kFfnUnit = 16;
inline constexpr int64_t kVocabUnit = 16;

// [begin, end) of something that is dealt out.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

// Deals `total` things in units of `unit` to `parts`, contiguous, in order, the larger shares first; returns part `index`.
// Part sizes in units differ by at most one. total >= 0, unit >= 1, parts >= 1, 0 <= index < parts.
Range deal(int64_t total, int64_t unit, int64_t parts, int64_t index);

// What one rank holds of the model.
struct RankShare {
  Range q_heads;
  Range kv_heads;
  Range ffn;
  Range vocab;
  HeadLayout heads;  // local counts and how query heads find their KV head
};
// ffn_unit: columns that stay together; a multiple of kFfnUnit, more where a quantization group is larger.
RankShare rank_share(const ModelConfig& config, int tp, int rank, int64_t ffn_unit = kFfnUnit);

// The largest vocabulary shard over all ranks: the padded width of a gathered row of logits.
int64_t max_vocab_shard(const ModelConfig& config, int tp);

// A parameter as a rank holds it: row-major [rows, cols]; either may be 0. Hq, Hkv, F, V are this rank's shares, H is the hidden
// size, D head_dim:
//   embedding [V, H], lm_head [V, H] (absent when tied: the embedding serves), final_norm [1, H]
//   layers.N.input_norm, post_norm [1, H]; q_norm, k_norm [1, D]; whole on every rank
//   layers.N.qkv [(Hq + 2 Hkv) * D, H], qkv_bias [1, (Hq + 2 Hkv) * D]: q heads, k heads, v heads
//   layers.N.o [H, Hq * D], o_bias [1, H]: the bias whole on every rank, added once after the reduce
//   layers.N.gate_up [2 F, H], gate_up_bias [1, 2 F]: gate, then up
//   layers.N.down [H, F], down_bias [1, H]: the bias as o_bias
struct Parameter {
  std::string name;
  int64_t rows = 0;
  int64_t cols = 0;
};

// A tensor of the checkpoint: "model.layers.0.self_attn.q_proj.weight".
struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;  // that it must have
  bool operator==(const CheckpointTensor&) const = default;
};

// One piece: a slice of a checkpoint tensor and the rectangle of a parameter that it fills. Vectors are [1, n] in Parameter and
// [n] in the checkpoint; there dimension 0 of the checkpoint is `cols` of the parameter.
struct Piece {
  std::string tensor;          // name in the checkpoint
  std::vector<int64_t> shape;  // that the checkpoint must have
  Range rows;                  // of the tensor; a part of [0, shape[0]) for a vector
  Range cols;                  // of the tensor; [0, 1) for a vector
  size_t parameter = 0;        // index in Partition::parameters
  int64_t to_row = 0;          // where the piece's first row and column land
  int64_t to_col = 0;

  int64_t elements() const { return rows.size() * cols.size(); }
  // The same piece with a vector seen as one row: [1, n] on both sides.
  bool is_vector() const { return shape.size() == 1; }
  Range matrix_rows() const { return is_vector() ? Range{0, 1} : rows; }
  Range matrix_cols() const { return is_vector() ? rows : cols; }
  int64_t full_cols() const { return shape.back(); }
};

struct Partition {
  int tp = 1;
  int rank = 0;
  RankShare share;
  std::vector<Parameter> parameters;
  std::vector<Piece> pieces;  // in checkpoint order of layers; a piece with an empty range is left out
  // Every tensor that the checkpoint must have, whether this rank reads from it or not; the same on all ranks.
  std::vector<CheckpointTensor> tensors;
  // Tensors that a checkpoint may have and that are not loaded: a tied lm_head, rotary inv_freq.
  std::vector<CheckpointTensor> redundant;
  int64_t elements() const;  // sum over parameters
  // Bytes that this rank must read from a checkpoint whose elements have `element_size` bytes.
  int64_t checkpoint_bytes(size_t element_size) const;
};

// The largest tp at which some rank still holds something: the larger of the number of query heads and the numbers of units of
// FFN columns and vocabulary. Every tp from 1 to this is possible.
int64_t max_tp(const ModelConfig& config);

// Throws Error when tp cannot be done (tp < 1, or a rank would hold nothing at all: tp > max_tp()), naming the tp that are
// possible, and when rank is not in [0, tp).
Partition make_partition(const ModelConfig& config, int tp, int rank, int64_t ffn_unit = kFfnUnit);

}  // namespace lockstep
