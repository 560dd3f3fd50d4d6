#include "partition/partition.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace lockstep {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void check_tp(const ModelConfig& config, int64_t tp) {
  const int64_t largest = max_tp(config);
  check(tp >= 1 && tp <= largest,
        "tensor parallelism of {} is not possible for this model: it has {} query heads, {} units of {} FFN columns and {} units "
        "of {} "
        "vocabulary rows to deal out; possible are 1 to {}",
        tp, config.num_heads, ceil_div(config.intermediate_size, kFfnUnit), kFfnUnit, ceil_div(config.vocab_size, kVocabUnit),
        kVocabUnit, largest);
}

// Fills a Partition tensor by tensor. Every call names a tensor of the checkpoint and what this rank takes of it.
class Builder {
 public:
  explicit Builder(Partition& partition) : partition_(partition) {}

  size_t parameter(std::string name, int64_t rows, int64_t cols) {
    partition_.parameters.push_back({std::move(name), rows, cols});
    return partition_.parameters.size() - 1;
  }

  // tensor: [full_rows, full_cols].
  void matrix(std::string tensor, int64_t full_rows, int64_t full_cols, Range rows, Range cols, size_t parameter,
              int64_t to_row) {
    add({.tensor = std::move(tensor),
         .shape = {full_rows, full_cols},
         .rows = rows,
         .cols = cols,
         .parameter = parameter,
         .to_row = to_row,
         .to_col = 0});
  }

  // tensor: [full].
  void vector(std::string tensor, int64_t full, Range range, size_t parameter, int64_t to_col) {
    add({.tensor = std::move(tensor),
         .shape = {full},
         .rows = range,
         .cols = {0, 1},
         .parameter = parameter,
         .to_row = 0,
         .to_col = to_col});
  }

  // A vector that every rank holds whole.
  void replicated(std::string name, std::string tensor, int64_t n) {
    const size_t p = parameter(std::move(name), 1, n);
    vector(std::move(tensor), n, {0, n}, p, 0);
  }

 private:
  void add(Piece piece) {
    partition_.tensors.push_back({piece.tensor, piece.shape});
    if (piece.elements() > 0) partition_.pieces.push_back(std::move(piece));
  }

  Partition& partition_;
};

// One of the tensors that are stacked by rows into one parameter: q, k, v or gate, up.
struct Stacked {
  const char* tensor;
  int64_t full_rows;
  Range rows;
};

// A column-parallel linear: the rank's rows of each tensor, one below the other. Weight [full_rows, hidden], bias [full_rows].
void add_column_parallel(Builder& b, const std::string& name, const std::string& prefix, const std::vector<Stacked>& stack,
                         int64_t hidden, bool bias) {
  int64_t rows = 0;
  for (const Stacked& s : stack) rows += s.rows.size();
  const size_t weight = b.parameter(name, rows, hidden);
  int64_t to = 0;
  for (const Stacked& s : stack) {
    b.matrix(prefix + s.tensor + ".weight", s.full_rows, hidden, s.rows, {0, hidden}, weight, to);
    to += s.rows.size();
  }
  if (!bias) return;
  const size_t p = b.parameter(name + "_bias", 1, rows);
  to = 0;
  for (const Stacked& s : stack) {
    b.vector(prefix + s.tensor + ".bias", s.full_rows, s.rows, p, to);
    to += s.rows.size();
  }
}

// A row-parallel linear: the rank's columns of the weight [hidden, full_cols]; the bias [hidden] is whole.
void add_row_parallel(Builder& b, const std::string& name, const std::string& tensor, int64_t hidden, int64_t full_cols,
                      Range cols, bool bias) {
  const size_t weight = b.parameter(name, hidden, cols.size());
  b.matrix(tensor + ".weight", hidden, full_cols, {0, hidden}, cols, weight, 0);
  if (bias) b.replicated(name + "_bias", tensor + ".bias", hidden);
}

Range times(Range r, int64_t n) { return {r.begin * n, r.end * n}; }

void add_layer(Builder& b, const ModelConfig& c, const RankShare& share, int64_t layer) {
  const std::string to = "layers." + std::to_string(layer) + ".";
  const std::string from = "model." + to;
  const std::string attention = from + "self_attn.";
  const std::string mlp = from + "mlp.";
  const int64_t d = c.head_dim;
  const Range q = times(share.q_heads, d);
  const Range kv = times(share.kv_heads, d);

  b.replicated(to + "input_norm", from + "input_layernorm.weight", c.hidden_size);
  add_column_parallel(b, to + "qkv", attention,
                      {{"q_proj", c.num_heads * d, q}, {"k_proj", c.num_kv_heads * d, kv}, {"v_proj", c.num_kv_heads * d, kv}},
                      c.hidden_size, c.qkv_bias);
  if (c.qk_norm) {
    b.replicated(to + "q_norm", attention + "q_norm.weight", d);
    b.replicated(to + "k_norm", attention + "k_norm.weight", d);
  }
  add_row_parallel(b, to + "o", attention + "o_proj", c.hidden_size, c.num_heads * d, q, c.o_bias);
  b.replicated(to + "post_norm", from + "post_attention_layernorm.weight", c.hidden_size);
  add_column_parallel(b, to + "gate_up", mlp,
                      {{"gate_proj", c.intermediate_size, share.ffn}, {"up_proj", c.intermediate_size, share.ffn}}, c.hidden_size,
                      c.mlp_bias);
  add_row_parallel(b, to + "down", mlp + "down_proj", c.hidden_size, c.intermediate_size, share.ffn, c.mlp_bias);
}

std::vector<CheckpointTensor> redundant_tensors(const ModelConfig& c) {
  std::vector<CheckpointTensor> redundant;
  if (c.tie_word_embeddings) redundant.push_back({"lm_head.weight", {c.vocab_size, c.hidden_size}});
  redundant.push_back({"model.rotary_emb.inv_freq", {c.head_dim / 2}});
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    redundant.push_back({"model.layers." + std::to_string(layer) + ".self_attn.rotary_emb.inv_freq", {c.head_dim / 2}});
  }
  return redundant;
}

}  // namespace

Range deal(int64_t total, int64_t unit, int64_t parts, int64_t index) {
  check(total >= 0 && unit >= 1 && parts >= 1 && index >= 0 && index < parts,
        "cannot deal {} things in units of {} to {} parts, part {}", total, unit, parts, index);
  const int64_t units = ceil_div(total, unit);
  const int64_t each = units / parts;
  const int64_t extra = units % parts;  // the first `extra` parts get one unit more
  const auto boundary = [&](int64_t i) { return std::min(total, (i * each + std::min(i, extra)) * unit); };
  return {boundary(index), boundary(index + 1)};
}

int64_t max_tp(const ModelConfig& config) {
  return std::max({config.num_heads, ceil_div(config.intermediate_size, kFfnUnit), ceil_div(config.vocab_size, kVocabUnit)});
}

RankShare rank_share(const ModelConfig& config, int tp, int rank, int64_t ffn_unit) {
  check(config.num_kv_heads > 0 && config.num_heads > 0 && config.num_heads % config.num_kv_heads == 0,
        "{} query heads cannot share {} KV heads evenly", config.num_heads, config.num_kv_heads);
  check_tp(config, tp);
  check(rank >= 0 && rank < tp, "rank {} is outside a tensor-parallel group of {}", rank, tp);

  RankShare share;
  share.q_heads = deal(config.num_heads, 1, tp, rank);
  const int64_t group = config.group();
  const int64_t first_kv = share.q_heads.begin / group;
  share.kv_heads = {first_kv, share.q_heads.size() > 0 ? ceil_div(share.q_heads.end, group) : first_kv};
  share.ffn = deal(config.intermediate_size, ffn_unit, tp, rank);
  share.vocab = deal(config.vocab_size, kVocabUnit, tp, rank);
  share.heads.q_heads = static_cast<int32_t>(share.q_heads.size());
  share.heads.kv_heads = static_cast<int32_t>(share.kv_heads.size());
  share.heads.head_dim = static_cast<int32_t>(config.head_dim);
  share.heads.group = static_cast<int32_t>(group);
  share.heads.offset = static_cast<int32_t>(share.q_heads.begin % group);
  return share;
}

int64_t max_vocab_shard(const ModelConfig& config, int tp) {
  check_tp(config, tp);
  return deal(config.vocab_size, kVocabUnit, tp, 0).size();  // deal() gives the larger shares first
}

int64_t Partition::elements() const {
  int64_t n = 0;
  for (const Parameter& p : parameters) n += p.rows * p.cols;
  return n;
}

int64_t Partition::checkpoint_bytes(size_t element_size) const {
  int64_t n = 0;
  for (const Piece& p : pieces) n += p.elements();
  return n * static_cast<int64_t>(element_size);
}

Partition make_partition(const ModelConfig& config, int tp, int rank, int64_t ffn_unit) {
  Partition partition;
  partition.tp = tp;
  partition.rank = rank;
  partition.share = rank_share(config, tp, rank, ffn_unit);
  const Range vocab = partition.share.vocab;
  const Range hidden = {0, config.hidden_size};

  Builder b(partition);
  b.matrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size, vocab, hidden,
           b.parameter("embedding", vocab.size(), config.hidden_size), 0);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) add_layer(b, config, partition.share, layer);
  b.replicated("final_norm", "model.norm.weight", config.hidden_size);
  if (!config.tie_word_embeddings) {
    b.matrix("lm_head.weight", config.vocab_size, config.hidden_size, vocab, hidden,
             b.parameter("lm_head", vocab.size(), config.hidden_size), 0);
  }
  partition.redundant = redundant_tensors(config);
  return partition;
}

}  // namespace lockstep
