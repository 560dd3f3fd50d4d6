// The partition, exhaustively over small shapes: whatever is dealt out is dealt exactly once, and every rank finds its KV heads.
#include "partition/partition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace lockstep {
namespace {

ModelConfig small_config(int64_t heads, int64_t kv_heads, int64_t ffn, int64_t vocab) {
  ModelConfig c;
  c.architecture = "LlamaForCausalLM";
  c.vocab_size = vocab;
  c.hidden_size = 6;
  c.intermediate_size = ffn;
  c.num_layers = 2;
  c.num_heads = heads;
  c.num_kv_heads = kv_heads;
  c.head_dim = 2;
  return c;
}

std::vector<Partition> all_ranks(const ModelConfig& config, int tp) {
  std::vector<Partition> ranks;
  for (int rank = 0; rank < tp; ++rank) ranks.push_back(make_partition(config, tp, rank));
  return ranks;
}

const Parameter& parameter(const Partition& p, const std::string& name) {
  for (const Parameter& x : p.parameters) {
    if (x.name == name) return x;
  }
  throw Error("no parameter " + name);
}

bool has_parameter(const Partition& p, const std::string& name) {
  return std::any_of(p.parameters.begin(), p.parameters.end(), [&](const Parameter& x) { return x.name == name; });
}

TEST(Deal, GivesEverythingOnceInOrderWithSizesThatDifferByAtMostOneUnit) {
  for (int64_t total = 0; total <= 70; ++total) {
    for (int64_t unit : {1, 2, 3, 16}) {
      for (int64_t parts = 1; parts <= 16; ++parts) {
        SCOPED_TRACE(testing::Message() << "total " << total << " unit " << unit << " parts " << parts);
        int64_t next = 0;
        int64_t fewest = total + 1;
        int64_t most = 0;
        int64_t previous = total + 1;
        for (int64_t i = 0; i < parts; ++i) {
          const Range r = deal(total, unit, parts, i);
          ASSERT_EQ(r.begin, next);
          ASSERT_GE(r.size(), 0);
          ASSERT_EQ(r.size() == 0 ? 0 : r.begin % unit, 0);
          const int64_t units = (r.size() + unit - 1) / unit;
          ASSERT_LE(units, previous) << "larger shares come first";
          previous = units;
          fewest = std::min(fewest, units);
          most = std::max(most, units);
          next = r.end;
        }
        ASSERT_EQ(next, total);
        ASSERT_LE(most - fewest, 1);
      }
    }
  }
}

TEST(Deal, RefusesNonsense) {
  EXPECT_THROW(deal(-1, 1, 1, 0), Error);
  EXPECT_THROW(deal(1, 0, 1, 0), Error);
  EXPECT_THROW(deal(1, 1, 0, 0), Error);
  EXPECT_THROW(deal(1, 1, 2, 2), Error);
  EXPECT_THROW(deal(1, 1, 2, -1), Error);
}

TEST(RankShare, EveryQueryHeadOnceAndTheKvHeadsThatItReads) {
  for (int64_t heads = 1; heads <= 18; ++heads) {
    for (int64_t kv_heads = 1; kv_heads <= heads; ++kv_heads) {
      if (heads % kv_heads != 0) continue;
      const ModelConfig config = small_config(heads, kv_heads, 300, 1000);
      for (int tp = 1; tp <= 16; ++tp) {
        SCOPED_TRACE(testing::Message() << heads << " heads, " << kv_heads << " KV heads, tp " << tp);
        std::vector<int> owners(heads, 0);
        for (int rank = 0; rank < tp; ++rank) {
          const RankShare share = rank_share(config, tp, rank);
          std::set<int64_t> read;
          for (int64_t q = share.q_heads.begin; q < share.q_heads.end; ++q) {
            ++owners[q];
            const int64_t global_kv = q / config.group();
            read.insert(global_kv);
            // The layout that the kernels see leads to the same KV head.
            const int64_t local_q = q - share.q_heads.begin;
            const int64_t local_kv = (local_q + share.heads.offset) / share.heads.group;
            ASSERT_EQ(share.kv_heads.begin + local_kv, global_kv) << "rank " << rank << " head " << q;
            ASSERT_LT(local_kv, share.heads.kv_heads);
          }
          std::set<int64_t> held;
          for (int64_t k = share.kv_heads.begin; k < share.kv_heads.end; ++k) held.insert(k);
          ASSERT_EQ(held, read) << "rank " << rank;
          ASSERT_EQ(share.heads.q_heads, share.q_heads.size());
          ASSERT_EQ(share.heads.kv_heads, share.kv_heads.size());
          ASSERT_EQ(share.heads.head_dim, config.head_dim);
          ASSERT_EQ(share.heads.group, config.group());
          ASSERT_GE(share.heads.offset, 0);
          ASSERT_LT(share.heads.offset, share.heads.group);
        }
        ASSERT_EQ(std::count(owners.begin(), owners.end(), 1), heads);
      }
    }
  }
}

TEST(RankShare, MaxVocabShardIsTheLargest) {
  for (int64_t vocab : {1, 15, 16, 17, 49, 255, 257, 49152}) {
    const ModelConfig config = small_config(16, 4, 64, vocab);
    for (int tp = 1; tp <= 16; ++tp) {
      int64_t largest = 0;
      for (int rank = 0; rank < tp; ++rank) largest = std::max(largest, rank_share(config, tp, rank).vocab.size());
      ASSERT_EQ(max_vocab_shard(config, tp), largest) << "vocab " << vocab << " tp " << tp;
    }
  }
}

// Where each element of the checkpoint went: how many ranks hold it.
using Counts = std::map<std::string, std::vector<int>>;

void count_pieces(const Partition& partition, Counts& counts) {
  for (const Piece& piece : partition.pieces) {
    ASSERT_GT(piece.elements(), 0) << piece.tensor;
    int64_t total = 1;
    for (int64_t n : piece.shape) total *= n;
    std::vector<int>& held = counts[piece.tensor];
    held.resize(total, 0);
    const int64_t width = piece.shape.size() == 2 ? piece.shape[1] : 1;
    ASSERT_GE(piece.rows.begin, 0) << piece.tensor;
    ASSERT_LE(piece.rows.end, piece.shape[0]) << piece.tensor;
    ASSERT_GE(piece.cols.begin, 0) << piece.tensor;
    ASSERT_LE(piece.cols.end, width) << piece.tensor;
    for (int64_t r = piece.rows.begin; r < piece.rows.end; ++r) {
      for (int64_t c = piece.cols.begin; c < piece.cols.end; ++c) ++held[r * width + c];
    }
  }
}

// Every destination element exactly once.
void check_destination(const Partition& partition) {
  std::vector<std::vector<int>> written;
  for (const Parameter& p : partition.parameters) written.emplace_back(p.rows * p.cols, 0);
  for (const Piece& piece : partition.pieces) {
    const Parameter& p = partition.parameters.at(piece.parameter);
    const bool vector = piece.shape.size() == 1;
    const int64_t height = vector ? 1 : piece.rows.size();
    const int64_t width = vector ? piece.rows.size() : piece.cols.size();
    ASSERT_GE(piece.to_row, 0);
    ASSERT_GE(piece.to_col, 0);
    ASSERT_LE(piece.to_row + height, p.rows) << piece.tensor << " in " << p.name;
    ASSERT_LE(piece.to_col + width, p.cols) << piece.tensor << " in " << p.name;
    for (int64_t r = 0; r < height; ++r) {
      for (int64_t c = 0; c < width; ++c) ++written[piece.parameter][(piece.to_row + r) * p.cols + piece.to_col + c];
    }
  }
  for (size_t i = 0; i < written.size(); ++i) {
    ASSERT_TRUE(std::all_of(written[i].begin(), written[i].end(), [](int n) { return n == 1; })) << partition.parameters[i].name;
  }
}

bool ends_with(const std::string& s, const std::string& end) {
  return s.size() >= end.size() && s.compare(s.size() - end.size(), end.size(), end) == 0;
}

// How often an element must be held by the ranks together: 0 means "at least once" (a KV head is replicated at a cut).
int expected_copies(const std::string& tensor, int tp) {
  for (const char* kv : {"k_proj.weight", "v_proj.weight", "k_proj.bias", "v_proj.bias"}) {
    if (ends_with(tensor, kv)) return 0;
  }
  for (const char* whole : {"norm.weight", "layernorm.weight", "o_proj.bias", "down_proj.bias"}) {
    if (ends_with(tensor, whole)) return tp;
  }
  return 1;
}

void check_whole(const ModelConfig& config, int tp) {
  SCOPED_TRACE(testing::Message() << config.num_heads << " heads, " << config.num_kv_heads << " KV heads, FFN "
                                  << config.intermediate_size << ", vocab " << config.vocab_size << ", tp " << tp);
  Counts counts;
  const std::vector<Partition> ranks = all_ranks(config, tp);
  for (const Partition& p : ranks) {
    ASSERT_NO_FATAL_FAILURE(count_pieces(p, counts));
    ASSERT_NO_FATAL_FAILURE(check_destination(p));
    ASSERT_EQ(p.tensors, ranks[0].tensors);
    ASSERT_EQ(p.checkpoint_bytes(2), p.elements() * 2);
  }
  ASSERT_EQ(counts.size(), ranks[0].tensors.size());
  for (const CheckpointTensor& tensor : ranks[0].tensors) {
    const int copies = expected_copies(tensor.name, tp);
    for (const int n : counts.at(tensor.name)) {
      if (copies > 0) {
        ASSERT_EQ(n, copies) << tensor.name;
      } else {
        ASSERT_GE(n, 1) << tensor.name;
        ASSERT_LE(n, tp) << tensor.name;
      }
    }
  }
}

TEST(MakePartition, AllRanksTogetherHoldEveryElementOnce) {
  for (int64_t heads : {1, 2, 3, 5, 9, 12, 14, 16}) {
    for (int64_t kv_heads = 1; kv_heads <= heads; ++kv_heads) {
      if (heads % kv_heads != 0) continue;
      for (int tp = 1; tp <= 16; ++tp) {
        ModelConfig config = small_config(heads, kv_heads, 33 + 16 * kv_heads, 257);
        config.qkv_bias = heads % 2 == 0;
        config.qk_norm = heads % 3 == 0;
        ASSERT_NO_FATAL_FAILURE(check_whole(config, tp));
      }
    }
  }
}

TEST(MakePartition, OddFfnAndVocabulary) {
  for (int64_t ffn : {1, 15, 16, 17, 47, 96, 111}) {
    for (int64_t vocab : {1, 17, 48, 101, 128}) {
      for (int tp = 1; tp <= 16; ++tp) {
        ModelConfig config = small_config(16, 4, ffn, vocab);
        config.o_bias = config.mlp_bias = config.qkv_bias = true;
        config.tie_word_embeddings = vocab % 2 == 0;
        ASSERT_NO_FATAL_FAILURE(check_whole(config, tp));
      }
    }
  }
}

// One rank may hold no head, another no FFN column, another no vocabulary.
TEST(MakePartition, RanksThatHoldNone) {
  const ModelConfig config = small_config(3, 1, 32, 65);  // 3 heads, 2 FFN units, 5 vocabulary units
  EXPECT_EQ(max_tp(config), 5);
  ASSERT_NO_FATAL_FAILURE(check_whole(config, 5));
  const Partition last = make_partition(config, 5, 4);
  EXPECT_EQ(last.share.q_heads.size(), 0);
  EXPECT_EQ(last.share.kv_heads.size(), 0);
  EXPECT_EQ(last.share.heads.offset, 0);
  EXPECT_EQ(last.share.ffn.size(), 0);
  EXPECT_EQ(last.share.vocab, (Range{64, 65}));
  EXPECT_EQ(parameter(last, "layers.1.qkv").rows, 0);
  EXPECT_EQ(parameter(last, "layers.1.qkv").cols, 6);
  EXPECT_EQ(parameter(last, "layers.1.o").rows, 6);
  EXPECT_EQ(parameter(last, "layers.1.o").cols, 0);
  EXPECT_EQ(parameter(last, "layers.1.gate_up").rows, 0);
  EXPECT_EQ(parameter(last, "layers.1.down").cols, 0);
  EXPECT_EQ(parameter(last, "lm_head").rows, 1);

  const Partition no_vocabulary = make_partition(small_config(4, 4, 16, 16), 4, 3);
  EXPECT_EQ(no_vocabulary.share.vocab.size(), 0);
  EXPECT_EQ(no_vocabulary.share.q_heads.size(), 1);
  EXPECT_EQ(parameter(no_vocabulary, "embedding").rows, 0);
}

TEST(MakePartition, NamesAndShapesOfParameters) {
  ModelConfig config = small_config(9, 3, 40, 100);
  config.qkv_bias = config.o_bias = config.mlp_bias = config.qk_norm = true;
  const Partition p = make_partition(config, 2, 1);  // query heads 5..9, KV heads 1..3, FFN 32..40, vocabulary 64..100
  EXPECT_EQ(p.share.q_heads, (Range{5, 9}));
  EXPECT_EQ(p.share.kv_heads, (Range{1, 3}));
  EXPECT_EQ(p.share.heads.offset, 2);
  EXPECT_EQ(p.share.ffn, (Range{32, 40}));
  EXPECT_EQ(p.share.vocab, (Range{64, 100}));
  const std::map<std::string, std::pair<int64_t, int64_t>> expected = {
      {"embedding", {36, 6}},
      {"lm_head", {36, 6}},
      {"final_norm", {1, 6}},
      {"layers.0.input_norm", {1, 6}},
      {"layers.0.post_norm", {1, 6}},
      {"layers.0.qkv", {16, 6}},
      {"layers.0.qkv_bias", {1, 16}},
      {"layers.0.q_norm", {1, 2}},
      {"layers.0.k_norm", {1, 2}},
      {"layers.0.o", {6, 8}},
      {"layers.0.o_bias", {1, 6}},
      {"layers.0.gate_up", {16, 6}},
      {"layers.0.gate_up_bias", {1, 16}},
      {"layers.0.down", {6, 8}},
      {"layers.0.down_bias", {1, 6}},
  };
  for (const auto& [name, shape] : expected) {
    EXPECT_EQ(parameter(p, name).rows, shape.first) << name;
    EXPECT_EQ(parameter(p, name).cols, shape.second) << name;
  }
  EXPECT_EQ(p.parameters.size(), 3u + 2u * 12u);
  // The rows of v follow those of q and k.
  const auto v = std::find_if(p.pieces.begin(), p.pieces.end(),
                              [](const Piece& x) { return x.tensor == "model.layers.1.self_attn.v_proj.weight"; });
  ASSERT_NE(v, p.pieces.end());
  EXPECT_EQ(v->shape, (std::vector<int64_t>{6, 6}));
  EXPECT_EQ(v->rows, (Range{2, 6}));
  EXPECT_EQ(v->cols, (Range{0, 6}));
  EXPECT_EQ(v->to_row, 12);
}

TEST(MakePartition, TiedLmHeadIsRedundantAndAbsent) {
  ModelConfig config = small_config(4, 2, 32, 64);
  config.tie_word_embeddings = true;
  const Partition tied = make_partition(config, 1, 0);
  EXPECT_FALSE(has_parameter(tied, "lm_head"));
  const CheckpointTensor lm_head{"lm_head.weight", {64, 6}};
  EXPECT_NE(std::find(tied.redundant.begin(), tied.redundant.end(), lm_head), tied.redundant.end());
  config.tie_word_embeddings = false;
  const Partition untied = make_partition(config, 1, 0);
  EXPECT_TRUE(has_parameter(untied, "lm_head"));
  EXPECT_EQ(std::find(untied.redundant.begin(), untied.redundant.end(), lm_head), untied.redundant.end());
}

// Published shapes: the checkpoint's size in elements at tp 1 is the model's number of parameters.
TEST(MakePartition, CountsElementsOfARealModel) {
  ModelConfig c;
  c.vocab_size = 49152;
  c.hidden_size = 576;
  c.intermediate_size = 1536;
  c.num_layers = 30;
  c.num_heads = 9;
  c.num_kv_heads = 3;
  c.head_dim = 64;
  c.tie_word_embeddings = true;  // SmolLM2-135M
  EXPECT_EQ(make_partition(c, 1, 0).elements(), 134515008);
}

TEST(MakePartition, RefusesWhatCannotBeAndSaysWhatCan) {
  const ModelConfig config = small_config(3, 1, 32, 65);
  for (int tp : {0, -1, 6}) {
    try {
      make_partition(config, tp, 0);
      FAIL() << "tp " << tp << " was taken";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("possible are 1 to 5"), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(make_partition(config, 2, 2), Error);
  EXPECT_THROW(make_partition(config, 2, -1), Error);
  EXPECT_THROW(make_partition(small_config(4, 3, 32, 64), 1, 0), Error);
  EXPECT_THROW(max_vocab_shard(config, 0), Error);
}

}  // namespace
}  // namespace lockstep
