// Partition: the pure function (config, tp, rank) -> which slice of which checkpoint tensor lands where. The only code that
// divides by tp.
//
//   query heads  contiguous runs, sizes differ by at most one; a rank holds the KV heads that its run reads, so a KV head is
//                replicated where a run cuts its group
//   FFN columns  contiguous runs of units of kFfnUnit columns (the last unit may be short)
//   vocabulary   contiguous runs of units of kVocabUnit rows (likewise)
//
// A rank may hold none of something; it still joins every AllReduce.
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
RankShare rank_share(const ModelConfig& config, int tp, int rank);

// The largest vocabulary shard over all ranks: the padded width of a gathered row of logits.
int64_t max_vocab_shard(const ModelConfig& config, int tp);

// A parameter as a rank holds it: row-major [rows, cols].
struct Parameter {
  std::string name;  // "embedding", "lm_head", "final_norm", "layers.N.{input_norm,post_norm,qkv,qkv_bias,o,o_bias,gate_up,gate_up_bias,down,down_bias,q_norm,k_norm}"
  int64_t rows = 0;
  int64_t cols = 0;
};

// One piece: a slice of a checkpoint tensor and the rectangle of a parameter that it fills. Vectors are [1, n] in Parameter and
// [n] in the checkpoint; there dimension 0 of the checkpoint is `cols` of the parameter.
struct Piece {
  std::string tensor;               // name in the checkpoint: "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;       // that the checkpoint must have
  Range rows;                       // of the tensor, [0, shape[0]) for a vector
  Range cols;                       // of the tensor, [0, 1) for a vector
  size_t parameter = 0;             // index in Partition::parameters
  int64_t to_row = 0;               // where the piece's first row and column land
  int64_t to_col = 0;
};

struct Partition {
  int tp = 1;
  int rank = 0;
  RankShare share;
  std::vector<Parameter> parameters;
  std::vector<Piece> pieces;  // in checkpoint order of layers; a piece with an empty range is left out
  // Tensors that a checkpoint may have and that are not loaded: a tied lm_head (checked equal in shape), rotary inv_freq.
  std::vector<std::string> redundant;
  int64_t elements() const;   // sum over parameters
  // Bytes that this rank must read from a checkpoint whose elements have `element_size` bytes.
  int64_t checkpoint_bytes(size_t element_size) const;
};

// Throws Error when tp cannot be done (tp < 1, or more ranks than there are units of everything), naming the tp that are possible.
Partition make_partition(const ModelConfig& config, int tp, int rank);

}  // namespace lockstep
