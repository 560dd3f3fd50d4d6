// Ops: every operation of the forward pass and of sampling, once, with its shape contract. kernels/cpu and kernels/cuda
// implement it; src/model and src/engine call nothing else.
//
// Letters used in shapes: T query tokens of the step, S sequences of the step, H hidden size, Hq/Hkv this rank's query/KV
// heads, D head_dim, F this rank's FFN columns, V this rank's vocabulary rows. Any of Hq, Hkv, F, V may be 0 on a rank.
// "act" is Backend::activation_dtype(weights). All pointers are device memory unless said otherwise. Every op is ordered on
// the backend's stream, allocates nothing after its first use with the largest shape, and never waits for the host, so that a
// step can be captured in a CUDA graph. Shapes or dtypes outside the contract throw Error.
#pragma once

#include <cstdint>

#include "base/tensor.h"

namespace lockstep {

// The weight of a linear, [out_features, in_features]. A struct, so that quantized formats can add scales, zeros, a group
// index and a layout without touching the callers.
struct LinearWeight {
  TensorView data;  // float32, bfloat16 or float16, contiguous
};

// Input of a linear: rows as they are, or rows whose RMSNorm is not finished: their root mean square is still to be divided out,
// which the linear does to its result. Made by linear_add_norm() and good until its next call.
struct Rows {
  Rows(TensorView x) : x(x) {}  // NOLINT(google-explicit-constructor): rows as they are need no name
  Rows(TensorView x, TensorView squares, float eps) : x(x), squares(squares), eps(eps) {}

  TensorView x;        // [M, K] act, rows may be strided
  TensorView squares;  // [M, parts] float32, whose sum is that of the squares of the row that x comes from; data == nullptr: none
  float eps = 0.0f;
};

// One layer's paged keys and values: each [num_blocks, kv_heads, block_size, head_dim], act dtype on CUDA, the weights' dtype
// on the CPU (float32, bfloat16 or float16).
struct PagedKv {
  void* k = nullptr;
  void* v = nullptr;
  DType dtype = DType::kFloat32;
  int64_t num_blocks = 0;
  int64_t kv_heads = 0;
  int64_t block_size = 0;
  int64_t head_dim = 0;
};

// The queries of a step. Sequence s owns the tokens [query_start[s], query_start[s+1]); they are the last ones of its
// context, which has context_len[s] tokens including them. A sequence may have any number of query tokens >= 1. A sequence that
// only pads the step has one query token, context_len 0 and a negative kv_index; its results mean nothing.
struct BatchView {
  int32_t num_tokens = 0;     // T
  int32_t num_seqs = 0;       // S
  int32_t max_query_len = 0;  // host-known bounds, for choosing a kernel
  int32_t max_context_len = 0;
  int32_t* token_ids = nullptr;           // [T]; negative: replaced by resolve_tokens
  const int32_t* positions = nullptr;     // [T]
  const int32_t* token_slot = nullptr;    // [T] slot of the token's sequence
  const int64_t* kv_index = nullptr;      // [T] block * block_size + offset where the token's K and V go; negative: nowhere
  const int32_t* query_start = nullptr;   // [S + 1]
  const int32_t* context_len = nullptr;   // [S]
  const int32_t* seq_slot = nullptr;      // [S] row of block_tables
  const int32_t* block_tables = nullptr;  // [max_num_seqs, block_table_stride] block numbers
  int64_t block_table_stride = 0;
};

// How this rank's query heads find their KV head: local query head h reads local KV head (h + offset) / group. A rank's run of
// query heads may begin inside a group, hence the offset.
struct HeadLayout {
  int32_t q_heads = 0;   // Hq
  int32_t kv_heads = 0;  // Hkv
  int32_t head_dim = 0;  // D, even
  int32_t group = 1;     // global query heads per KV head
  int32_t offset = 0;    // first query head of this rank modulo its first KV head's group
};

// One row of logits to sample from; a plain struct that is copied to the device.
struct SamplingRow {
  uint64_t seed = 0;
  int32_t slot = 0;          // where the chosen token goes in last_token; negative: nowhere
  int32_t output_index = 0;  // tokens produced so far by this sequence; with seed and token id it keys the noise
  float temperature = 0.0f;  // 0: greedy
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;        // 1: off
  float min_p = 0.0f;        // 0: off
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t penalty_row = -1;  // row of the counts matrix, or -1 when no penalty applies
  int32_t edit_begin = 0;    // range in the list of LogitEdit
  int32_t edit_end = 0;
  int32_t mask_row = -1;  // row of the matrix of masks, or -1 when every token is allowed
};

// logits[token] += add; -infinity bans the token. Global token ids.
struct LogitEdit {
  int32_t token = 0;
  float add = 0.0f;
};

// Which tokens a filter leaves; and a row's state of the search for the smallest of them (threshold_search.h).
enum class TokenFilter : int32_t { kTopK, kTopP };
struct ThresholdSearch;

// The best token of one shard for one row: what ranks exchange instead of logits.
struct Candidate {
  float value = 0.0f;
  int32_t token = -1;  // global id; -1: the shard has none
};

// Log-probabilities of one row, for the request that asked. top is sorted, best first, ties by lower id.
struct LogprobRequest {
  int32_t row = 0;    // row of logits
  int32_t count = 0;  // how many of the best to report, 0 to kMaxTopLogprobs
};
inline constexpr int32_t kMaxTopLogprobs = 20;
struct LogprobResult {
  float chosen = 0.0f;  // natural log of the chosen token's probability
  float top_logprob[kMaxTopLogprobs] = {};
  int32_t top_token[kMaxTopLogprobs] = {};
};

// Bit of an entry of the counts matrix that says "occurs in the prompt"; the low bits count occurrences in the output.
inline constexpr int32_t kInPromptBit = 1 << 30;

class Ops {
 public:
  virtual ~Ops() = default;

  // ---- bookkeeping ----

  // to[places[i]] = values[i] for i < n; a negative place is skipped, a place occurs once. All on the device.
  virtual void scatter(int32_t* to, const int64_t* places, const int32_t* values, int64_t n) = 0;

  // ---- forward ----

  // token_ids[t] = last_token[token_slot[t]] wherever token_ids[t] < 0. last_token: [max_num_seqs].
  virtual void resolve_tokens(const BatchView& batch, const int32_t* last_token) = 0;

  // out[t] = table[token_ids[t] - vocab_begin], or zeros where the id is not in this shard. out: [T, H] float32; table: [V, H].
  virtual void embedding(TensorView out, TensorView table, int64_t vocab_begin, const BatchView& batch) = 0;

  // cos_sin[t, i] = {cos, sin}(positions[t] * inv_freq[i]). cos_sin: [T, D] float32, pairs side by side; inv_freq: [D/2] float32.
  virtual void rope_table(TensorView cos_sin, const float* inv_freq, const BatchView& batch) = 0;

  // out = x / sqrt(mean(x^2) + eps) * weight, statistics in float32. x: [T, H] float32; weight: [1, H]; out: [T, H] act.
  virtual void rms_norm(TensorView out, TensorView x, TensorView weight, float eps) = 0;

  // residual += sum + bias; out = rms_norm(residual) * weight. The seam after each AllReduce. residual: [T, H] float32;
  // sum: [T, H] float32 or act; bias: [1, H] in the weights' dtype, or data == nullptr; out: [T, H] act.
  virtual void add_rms_norm(TensorView out, TensorView residual, TensorView sum, TensorView bias, TensorView weight,
                            float eps) = 0;

  // out = x · wᵀ + bias, accumulated in float32. w: [N, K]; bias: [1, N] in the weights' dtype, or data == nullptr; out: [M, N]
  // act or float32, rows may be strided. K == 0 gives zeros (+ bias).
  virtual void linear(TensorView out, const Rows& x, const LinearWeight& w, TensorView bias) = 0;

  // linear() into `sum` and add_rms_norm() in one, for sums that are complete on this rank. The result is either `out` or rows
  // that need no more than the linears that they go into. sum: [M, N] act, whose contents are undefined afterwards.
  virtual Rows linear_add_norm(TensorView out, TensorView residual, TensorView sum, TensorView x, const LinearWeight& w,
                               TensorView bias, TensorView norm_weight, float eps) {
    linear(sum, x, w, TensorView{});
    add_rms_norm(out, residual, sum, bias, norm_weight, eps);
    return out;
  }

  // The same without bias through the vendor's library alone (cuBLASLt), for `bench kernels` to compare with and as the measure
  // of the device's arithmetic. False, and nothing done, where there is no library or it cannot do it.
  virtual bool linear_by_library(TensorView /*out*/, TensorView /*x*/, const LinearWeight& /*w*/) { return false; }

  // For each token: QK-norm of every q and k head (where the weights are given, [1, D] each), rotary embedding of q and k in
  // place (rotate_half: element i pairs with i + D/2), and k, v written to the cache at kv_index. qkv: [T, (Hq + 2 Hkv) * D]
  // act, laid out q heads, k heads, v heads.
  virtual void norm_rope_store(TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm, float eps,
                               TensorView cos_sin, const BatchView& batch, const PagedKv& kv) = 0;

  // Causal attention over the paged context: softmax(q·k * scale)·v, softmax in float32. q: the first Hq * D columns of qkv.
  // out: [T, Hq * D] act.
  virtual void attention(TensorView out, TensorView qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                         const PagedKv& kv) = 0;

  // norm_rope_store(), then attention(); qkv is left in either state. The batch's arrays must have been written before the step's
  // rope_table() was called.
  virtual void rope_attention(TensorView out, TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm,
                              float eps, TensorView cos_sin, float scale, const BatchView& batch, const PagedKv& kv) {
    norm_rope_store(qkv, heads, q_norm, k_norm, eps, cos_sin, batch, kv);
    attention(out, qkv, heads, scale, batch, kv);
  }

  // linear() and silu_mul() in one: out = silu(x · gateᵀ + bias) * (x · upᵀ + bias), w and bias being F gate rows, then F up
  // rows. out: [M, F] act; gate_up: [M, 2F] act, whose contents are undefined afterwards.
  virtual void gated_linear(TensorView out, TensorView gate_up, const Rows& x, const LinearWeight& w, TensorView bias) {
    linear(gate_up, x, w, bias);
    silu_mul(out, gate_up);
  }

  // out[:, i] = silu(gate_up[:, i]) * gate_up[:, F + i]. gate_up: [T, 2F] act; out: [T, F] act.
  virtual void silu_mul(TensorView out, TensorView gate_up) = 0;

  // out[i] = x[rows[i]]. out: [out.rows, H], same dtype as x.
  virtual void gather_rows(TensorView out, TensorView x, const int32_t* rows) = 0;

  // ---- sampling; logits are float32 [S, V] of this rank's shard unless "full" ----

  // counts[ids[i] - vocab_begin] for ids of this shard: += 1, or |= kInPromptBit when in_prompt. counts: one row, [V].
  virtual void count_tokens(int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids, int64_t n,
                            bool in_prompt) = 0;

  // In this order, in place: where penalty_row >= 0, first count last_token[slot] into counts if output_index > 0 and it
  // belongs to this shard, then repetition penalty (tokens of prompt or output: x > 0 ? x / r : x * r), frequency (count of
  // output) and presence (in output); then the edits. counts: [rows of penalties, V] int32.
  virtual void process_logits(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const LogitEdit* edits,
                              int32_t* counts, const int32_t* last_token) = 0;

  // logits of tokens that the row's mask does not allow become -infinity, where mask_row >= 0. masks: [rows of masks, words]; bit
  // i % 32 of word i / 32 is token vocab_begin / 32 * 32 + i, so that a shard's words are a part of the vocabulary's.
  virtual void apply_masks(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const uint32_t* masks,
                           int64_t words) = 0;

  // Thresholds: the smallest processed logit (before temperature) that survives top_k, then top_p, then min_p, in transformers'
  // order, each on the temperature-scaled distribution left by the one before. Ties with it survive. A search by all ranks, each
  // over its shard, with the same bits however the vocabulary is cut (threshold_search.h); between the calls what a rank has
  // found goes to all, [num_shards, ...]. weights: [S, kSearchDigitValues].
  virtual void shard_maxima(uint32_t* maxima, TensorView logits) = 0;  // [S], as ordered_bits(); 0: there is none
  virtual void begin_search(ThresholdSearch* search, const uint32_t* maxima, int32_t num_shards, int32_t num_rows) = 0;
  // For the filters and digits in order; what weighs how much in this shard, by the next digit, and then which digit it is.
  virtual void weigh_digits(uint64_t* weights, TensorView logits, const ThresholdSearch* search, const SamplingRow* rows,
                            TokenFilter filter, int32_t digit) = 0;
  virtual void choose_digits(ThresholdSearch* search, const uint64_t* weights, int32_t num_shards, int32_t num_rows,
                             const SamplingRow* rows, TokenFilter filter, int32_t digit) = 0;
  // threshold[s]; -infinity where nothing filters.
  virtual void end_search(float* threshold, const ThresholdSearch* search, int32_t num_rows, const SamplingRow* rows) = 0;

  // Per row the best token of this shard among those with logit >= threshold (nullptr: all): the largest logit when greedy,
  // else the largest logit / temperature + Gumbel noise keyed by (seed, output_index, token id), which samples exactly from the
  // softmax and does not depend on how the vocabulary is cut. Ties go to the lower id. NaN logits never win.
  virtual void sample_candidates(Candidate* out, TensorView logits, int64_t vocab_begin, const float* threshold,
                                 const SamplingRow* rows) = 0;

  // Reduces candidates [num_shards, S] to tokens[S] and last_token[rows[s].slot]. Ties go to the lower id; -1 when no shard has
  // one.
  virtual void choose_tokens(int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards,
                             int32_t num_rows, const SamplingRow* rows) = 0;

  // Log-softmax of the raw full logits for the rows asked for. requests and results: [n]. tokens: [S] from choose_tokens.
  virtual void logprobs(LogprobResult* results, TensorView full, const int32_t* tokens, const LogprobRequest* requests,
                        int32_t n) = 0;

  // ---- weights ----

  // Fills a parameter with numbers that depend only on `seed` and the element's place in the whole (unpartitioned) tensor:
  // element (r, c) gets value(seed, (row0 + r) * full_cols + col0 + c), uniform in [-scale, scale). For --load-format dummy.
  virtual void fill_random(TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0, int64_t full_cols) = 0;
  virtual void fill(TensorView out, float value) = 0;
};

}  // namespace lockstep
