#include "kernels/cuda/cuda_ops.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/cuda/linear_stream.h"
#include "kernels/cuda/linear_tile.h"

namespace lockstep::cuda {
namespace {

struct Shown {
  const TensorView& tensor;
};

}  // namespace
}  // namespace lockstep::cuda

template <>
struct fmt::formatter<lockstep::cuda::Shown> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <typename Context>
  auto format(const lockstep::cuda::Shown& shown, Context& context) const {
    const lockstep::TensorView& t = shown.tensor;
    return fmt::format_to(context.out(), "{} [{}, {}] with stride {}", lockstep::name_of(t.dtype), t.rows, t.cols, t.stride);
  }
};

namespace lockstep::cuda {
namespace {

constexpr int32_t kMaxHeadDim = 4096;   // attention keeps a query in shared memory
constexpr int64_t kMaxVocab = 1 << 21;  // weigh_digits: counters of 32 bits
constexpr double kLog2E = 1.4426950408889634;

// Formatted only when a check fails.
Shown describe(const TensorView& t) { return {t}; }

bool is_float(DType t) { return t != DType::kInt32; }

// `what`: "op: tensor".
void check_shape(const char* what, const TensorView& t, int64_t rows, int64_t cols) {
  check(t.rows == rows && t.cols == cols, "{} is {}, expected [{}, {}]", what, describe(t), rows, cols);
  check(t.rows <= 1 || t.stride >= t.cols, "{} is {}: its rows overlap", what, describe(t));
  check(t.data != nullptr || t.empty(), "{} is {} without memory", what, describe(t));
  check(rows <= std::numeric_limits<int32_t>::max(), "{} is {}: too many rows", what, describe(t));
}

void check_dtype(const char* what, const TensorView& t, DType dtype) {
  check(t.dtype == dtype, "{} is {}, expected {}", what, describe(t), name_of(dtype));
}

void check_float(const char* what, const TensorView& t) {
  check(is_float(t.dtype), "{} is {}, expected float32, bfloat16 or float16", what, describe(t));
}

// A float vector of n elements; may be absent.
AnyVector optional_vector(const char* what, const TensorView& t, int64_t n) {
  if (t.data == nullptr) return {};
  check_shape(what, t, 1, n);
  check_float(what, t);
  return {t.data, t.dtype};
}

AnyVector vector(const char* what, const TensorView& t, int64_t n) {
  check(t.data != nullptr, "{} is missing", what);
  return optional_vector(what, t, n);
}

void check_heads(const char* op, const HeadLayout& heads, const TensorView& qkv, const BatchView& batch, const PagedKv& kv) {
  check(
      heads.q_heads >= 0 && heads.kv_heads >= 0 && heads.head_dim > 0 && heads.head_dim % 2 == 0 && heads.head_dim <= kMaxHeadDim,
      "{}: {} query heads, {} KV heads, head_dim {}: head_dim must be even and at most {}", op, heads.q_heads, heads.kv_heads,
      heads.head_dim, kMaxHeadDim);
  check(heads.group >= 1 && heads.offset >= 0 && heads.offset < heads.group,
        "{}: query head offset {} is not within a group of {}", op, heads.offset, heads.group);
  const int64_t cols = (static_cast<int64_t>(heads.q_heads) + 2 * static_cast<int64_t>(heads.kv_heads)) * heads.head_dim;
  check(qkv.rows == batch.num_tokens && qkv.cols == cols, "{}: qkv is {}, expected [{}, {}]", op, describe(qkv), batch.num_tokens,
        cols);
  check(kv.dtype == qkv.dtype && is_float(kv.dtype), "{}: the KV cache is {}, qkv {}", op, name_of(kv.dtype), name_of(qkv.dtype));
  check(kv.kv_heads == heads.kv_heads && kv.head_dim == heads.head_dim, "{}: the KV cache has {} heads of {}, qkv {} of {}", op,
        kv.kv_heads, kv.head_dim, heads.kv_heads, heads.head_dim);
  check(kv.block_size >= 1 && kv.block_size <= std::numeric_limits<int32_t>::max(), "{}: KV block size {}", op, kv.block_size);
}

// Checks the operands of attention and describes them to its kernels.
AttentionParams attention_params(TensorView out, TensorView qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                                 const PagedKv& kv) {
  check_heads("attention", heads, qkv, batch, kv);
  check(heads.q_heads == 0 || (heads.q_heads - 1 + heads.offset) / heads.group < heads.kv_heads,
        "attention: {} query heads from offset {} in groups of {} read more than the {} KV heads", heads.q_heads, heads.offset,
        heads.group, heads.kv_heads);
  check_shape("attention: out", out, batch.num_tokens, static_cast<int64_t>(heads.q_heads) * heads.head_dim);
  check_dtype("attention: out", out, qkv.dtype);
  check(batch.num_seqs <= 65535, "attention: {} sequences in a step, at most 65535 are possible", batch.num_seqs);
  check(batch.num_seqs == 0 || (batch.max_query_len >= 1 && batch.max_context_len >= batch.max_query_len),
        "attention: the step's longest query is {} tokens, its longest context {}", batch.max_query_len, batch.max_context_len);

  AttentionParams p;
  p.q = qkv.data;
  p.q_stride = qkv.stride;
  p.out = out.data;
  p.out_stride = out.stride;
  p.k = kv.k;
  p.v = kv.v;
  p.dtype = qkv.dtype;
  p.q_heads = heads.q_heads;
  p.kv_heads = heads.kv_heads;
  p.head_dim = heads.head_dim;
  p.group = heads.group;
  p.offset = heads.offset;
  p.block_size = static_cast<int32_t>(kv.block_size);
  p.scale_log2 = static_cast<float>(scale * kLog2E);
  p.query_start = batch.query_start;
  p.context_len = batch.context_len;
  p.seq_slot = batch.seq_slot;
  p.block_tables = batch.block_tables;
  p.block_table_stride = batch.block_table_stride;
  p.num_tokens = batch.num_tokens;
  p.num_seqs = batch.num_seqs;
  p.max_query_len = batch.max_query_len;
  p.max_context_len = batch.max_context_len;
  p.num_blocks = kv.num_blocks;
  return p;
}

// f(p) with each query token as a sequence of its own, whose context ends with it; for as many at a time as a grid takes.
template <typename F>
void for_single_tokens(const AttentionParams& p, const BatchView& batch, F f) {
  if (p.max_query_len == 1) return f(p);
  constexpr int32_t kAtATime = 32768;
  const auto element = static_cast<int64_t>(size_of(p.dtype));
  for (int32_t first = 0; first < p.num_tokens; first += kAtATime) {
    AttentionParams tokens = p;
    tokens.num_tokens = tokens.num_seqs = std::min(kAtATime, p.num_tokens - first);
    tokens.max_query_len = 1;
    tokens.q = static_cast<const std::byte*>(p.q) + first * p.q_stride * element;
    tokens.out = static_cast<std::byte*>(p.out) + first * p.out_stride * element;
    tokens.context_len = batch.positions + first;
    tokens.context_extra = 1;
    tokens.seq_slot = batch.token_slot + first;
    f(tokens);
  }
}

// f(out, x) for as many rows at a time as linear_stream.cu takes.
template <typename F>
void for_stream_rows(const TensorView& out, const TensorView& x, F f) {
  for (int64_t begin = 0; begin < x.rows; begin += kMaxStreamTokens) {
    const int64_t n = std::min<int64_t>(kMaxStreamTokens, x.rows - begin);
    f(out.slice_rows(begin, n), x.slice_rows(begin, n));
  }
}

}  // namespace

void CudaOps::scatter(int32_t* to, const int64_t* places, const int32_t* values, int64_t n) {
  if (n > 0) launch_scatter(launch_, to, places, values, n);
}

void CudaOps::resolve_tokens(const BatchView& batch, const int32_t* last_token) {
  if (batch.num_tokens > 0) launch_resolve_tokens(launch_, batch, last_token);
}

void CudaOps::embedding(TensorView out, TensorView table, int64_t vocab_begin, const BatchView& batch) {
  check_shape("embedding: out", out, batch.num_tokens, table.cols);
  check_dtype("embedding: out", out, DType::kFloat32);
  check_float("embedding: table", table);
  if (!out.empty()) launch_embedding(launch_, out, table, vocab_begin, batch.token_ids);
}

void CudaOps::rope_table(TensorView cos_sin, const float* inv_freq, const BatchView& batch) {
  check_shape("rope_table: cos_sin", cos_sin, batch.num_tokens, cos_sin.cols);
  check_dtype("rope_table: cos_sin", cos_sin, DType::kFloat32);
  check(cos_sin.cols % 2 == 0, "rope_table: cos_sin is {}, its columns are pairs", describe(cos_sin));
  if (!cos_sin.empty()) launch_rope_table(launch_, cos_sin, inv_freq, batch.positions);
}

void CudaOps::rms_norm(TensorView out, TensorView x, TensorView weight, float eps) {
  check_shape("rms_norm: out", out, x.rows, x.cols);
  check_float("rms_norm: out", out);
  check_dtype("rms_norm: x", x, DType::kFloat32);
  if (out.empty()) return;
  launch_rms_norm(launch_, out, x, {}, {}, vector("rms_norm: weight", weight, x.cols), eps);
}

void CudaOps::add_rms_norm(TensorView out, TensorView residual, TensorView sum, TensorView bias, TensorView weight, float eps) {
  check_shape("add_rms_norm: out", out, residual.rows, residual.cols);
  check_float("add_rms_norm: out", out);
  check_dtype("add_rms_norm: residual", residual, DType::kFloat32);
  check_shape("add_rms_norm: sum", sum, residual.rows, residual.cols);
  check(sum.dtype == DType::kFloat32 || sum.dtype == out.dtype, "add_rms_norm: sum is {}, expected float32 or {}", describe(sum),
        name_of(out.dtype));
  if (out.empty()) return;
  launch_rms_norm(launch_, out, residual, sum, optional_vector("add_rms_norm: bias", bias, out.cols),
                  vector("add_rms_norm: weight", weight, out.cols), eps);
}

void CudaOps::linear(TensorView out, const Rows& rows, const LinearWeight& w, TensorView bias) {
  const TensorView& x = rows.x;
  const TensorView& weight = w.data;
  check_shape("linear: weight", weight, weight.rows, x.cols);
  check(weight.contiguous(), "linear: weight is {}, expected contiguous", describe(weight));
  check_shape("linear: out", out, x.rows, weight.rows);
  check_float("linear: x", x);
  check_dtype("linear: weight", weight, x.dtype);
  check(out.dtype == x.dtype || out.dtype == DType::kFloat32, "linear: out is {}, expected {} or float32", describe(out),
        name_of(x.dtype));
  const AnyVector bias_vector = optional_vector("linear: bias", bias, out.cols);
  if (out.empty()) return;
  check_shape("linear: x", x, x.rows, x.cols);
  if (x.cols == 0) {
    launch_fill(launch_, out, 0.0f);
    if (bias_vector.data) launch_add_bias(launch_, out, bias_vector);
    return;
  }
  if (linear_stream_supports(launch_, x, weight)) {
    launch_linear_stream(launch_, out, rows, weight, bias_vector, /*gated=*/false);
    return;
  }
  check(rows.squares.data == nullptr, "linear: rows with an unfinished norm, {} by {}", describe(x), describe(weight));
  if (launch_.batch_invariant) {
    // The same kernel whatever the number of rows: the library's choice depends on it.
    for_stream_rows(out, x, [&](const TensorView& some_out, const TensorView& some_x) {
      if (linear_stream_supports(launch_, some_x, weight)) {
        launch_linear_stream(launch_, some_out, some_x, weight, bias_vector, /*gated=*/false);
      } else {
        launch_fallback_linear(launch_, some_out, some_x, weight, bias_vector);
      }
    });
    return;
  }
  if (skinny_linear_supports(x, weight)) {
    launch_skinny_linear(launch_, out, x, weight, bias_vector);
    return;
  }
  if (linear_tile_supports(launch_, x, weight, /*gated=*/false)) {
    launch_linear_tile(launch_, out, x, weight, bias_vector, /*gated=*/false);
    return;
  }
  const bool fused = bias_vector.data && CublasLinear::fuses_bias(out, bias);
  const bool separate = bias_vector.data && !fused;
  if (separate) {  // before the sums, which are added to it: rounded once
    launch_fill(launch_, out, 0.0f);
    launch_add_bias(launch_, out, bias_vector);
  }
  if (!cublas_.run(out, x, weight, fused ? bias : TensorView(), /*add=*/separate)) {
    launch_fallback_linear(launch_, out, x, weight, bias_vector);
  }
}

void CudaOps::gated_linear(TensorView out, TensorView gate_up, const Rows& rows, const LinearWeight& w, TensorView bias) {
  const TensorView& x = rows.x;
  const TensorView& weight = w.data;
  check_shape("gated_linear: weight", weight, 2 * out.cols, x.cols);
  check(weight.contiguous(), "gated_linear: weight is {}, expected contiguous", describe(weight));
  check_shape("gated_linear: out", out, x.rows, out.cols);
  check_float("gated_linear: x", x);
  check_dtype("gated_linear: weight", weight, x.dtype);
  check_dtype("gated_linear: out", out, x.dtype);
  const AnyVector bias_vector = optional_vector("gated_linear: bias", bias, weight.rows);
  if (out.empty()) return;
  if (x.cols > 0 && linear_stream_supports(launch_, x, weight)) {
    launch_linear_stream(launch_, out, rows, weight, bias_vector, /*gated=*/true);
  } else if (launch_.batch_invariant && x.cols > 0 && linear_stream_supports(launch_, x.slice_rows(0, 1), weight)) {
    check(rows.squares.data == nullptr, "gated_linear: rows with an unfinished norm, {} by {}", describe(x), describe(weight));
    for_stream_rows(out, x, [&](const TensorView& some_out, const TensorView& some_x) {
      launch_linear_stream(launch_, some_out, some_x, weight, bias_vector, /*gated=*/true);
    });
  } else if (!launch_.batch_invariant && linear_tile_supports(launch_, x, weight, /*gated=*/true)) {
    check(rows.squares.data == nullptr, "gated_linear: rows with an unfinished norm, {} by {}", describe(x), describe(weight));
    launch_linear_tile(launch_, out, x, weight, bias_vector, /*gated=*/true);
  } else {
    Ops::gated_linear(out, gate_up, rows, w, bias);
  }
}

Rows CudaOps::linear_add_norm(TensorView out, TensorView residual, TensorView sum, TensorView x, const LinearWeight& w,
                              TensorView bias, TensorView norm_weight, float eps) {
  const TensorView& weight = w.data;
  if (launch_.batch_invariant || !linear_add_norm_supports(launch_, out, residual, x, weight, norm_weight)) {
    return Ops::linear_add_norm(out, residual, sum, x, w, bias, norm_weight, eps);
  }
  check_shape("linear_add_norm: weight", weight, residual.cols, x.cols);
  check(weight.contiguous(), "linear_add_norm: weight is {}, expected contiguous", describe(weight));
  check_shape("linear_add_norm: out", out, residual.rows, residual.cols);
  check_shape("linear_add_norm: x", x, residual.rows, x.cols);
  check_dtype("linear_add_norm: residual", residual, DType::kFloat32);
  check_dtype("linear_add_norm: x", x, out.dtype);
  check_dtype("linear_add_norm: weight", weight, out.dtype);
  const AnyVector bias_vector = optional_vector("linear_add_norm: bias", bias, out.cols);
  const AnyVector norm_vector = vector("linear_add_norm: norm weight", norm_weight, out.cols);
  if (out.empty()) return out;
  const TensorView squares(launch_.squares, DType::kFloat32, out.rows, linear_add_norm_parts(weight.rows));
  launch_linear_add_norm(launch_, out, residual, squares, x, weight, bias_vector, norm_vector);
  return Rows(out, squares, eps);
}

bool CudaOps::linear_by_library(TensorView out, TensorView x, const LinearWeight& w) {
  check_shape("linear_by_library: weight", w.data, w.data.rows, x.cols);
  check_shape("linear_by_library: out", out, x.rows, w.data.rows);
  check_dtype("linear_by_library: weight", w.data, x.dtype);
  return !out.empty() && x.cols > 0 && cublas_.run(out, x, w.data, TensorView(), /*add=*/false);
}

void CudaOps::norm_rope_store(TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm, float eps,
                              TensorView cos_sin, const BatchView& batch, const PagedKv& kv) {
  check_heads("norm_rope_store", heads, qkv, batch, kv);
  check_shape("norm_rope_store: cos_sin", cos_sin, batch.num_tokens, heads.head_dim);
  check_dtype("norm_rope_store: cos_sin", cos_sin, DType::kFloat32);
  if (qkv.empty()) return;
  launch_norm_rope_store(launch_, qkv, heads, optional_vector("norm_rope_store: q_norm", q_norm, heads.head_dim),
                         optional_vector("norm_rope_store: k_norm", k_norm, heads.head_dim), eps, cos_sin, batch.kv_index, kv);
}

void CudaOps::attention(TensorView out, TensorView qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                        const PagedKv& kv) {
  const AttentionParams p = attention_params(out, qkv, heads, scale, batch, kv);
  if (out.empty() || batch.num_seqs == 0) return;
  // Sequences with one query token go to a decode kernel also where others have more, so that their result does not depend on
  // their neighbours'; when all sequences are as long as the longest, only one of the two kernels has work.
  const bool tensor_cores = decode_mma_supports(p, RopeParams{});
  const bool decode = tensor_cores || decode_attention_supports(p);
  if (launch_.batch_invariant && decode) {
    // One kernel for a token of a prompt, in whatever chunk of it, and for one that was sampled.
    for_single_tokens(p, batch, [&](const AttentionParams& tokens) {
      if (tensor_cores) {
        launch_decode_mma(launch_, tokens, RopeParams{});
      } else {
        launch_decode_attention(launch_, tokens);
      }
    });
    return;
  }
  const bool all_equal = static_cast<int64_t>(p.num_seqs) * p.max_query_len == p.num_tokens;
  const bool may_have_single = p.max_query_len == 1 || !all_equal;
  if (decode && may_have_single) {
    if (tensor_cores) {
      launch_decode_mma(launch_, p, RopeParams{});
    } else {
      launch_decode_attention(launch_, p);
    }
  }
  if (decode && p.max_query_len == 1) return;
  if (prefill_wgmma_supports(launch_, p)) {
    launch_prefill_wgmma(launch_, p, decode && may_have_single);
  } else if (prefill_attention_supports(p)) {
    launch_prefill_attention(launch_, p, decode && may_have_single);
  } else {
    launch_general_attention(launch_, p, decode && may_have_single);
  }
}

void CudaOps::rope_attention(TensorView out, TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm,
                             float eps, TensorView cos_sin, float scale, const BatchView& batch, const PagedKv& kv) {
  const AttentionParams p = attention_params(out, qkv, heads, scale, batch, kv);
  check_shape("rope_attention: cos_sin", cos_sin, batch.num_tokens, heads.head_dim);
  check_dtype("rope_attention: cos_sin", cos_sin, DType::kFloat32);
  RopeParams rope;
  rope.cos_sin = static_cast<const float*>(cos_sin.data);
  rope.cos_sin_stride = cos_sin.stride;
  rope.q_norm = optional_vector("rope_attention: q_norm", q_norm, heads.head_dim);
  rope.k_norm = optional_vector("rope_attention: k_norm", k_norm, heads.head_dim);
  rope.eps = eps;
  rope.kv_index = batch.kv_index;
  rope.k = kv.k;
  rope.v = kv.v;
  if (batch.max_query_len == 1 && !out.empty() && !launch_.batch_invariant && decode_mma_supports(p, rope)) {
    launch_decode_mma(launch_, p, rope);
  } else {
    Ops::rope_attention(out, qkv, heads, q_norm, k_norm, eps, cos_sin, scale, batch, kv);
  }
}

void CudaOps::silu_mul(TensorView out, TensorView gate_up) {
  check_shape("silu_mul: gate_up", gate_up, out.rows, 2 * out.cols);
  check_shape("silu_mul: out", out, out.rows, out.cols);
  check_float("silu_mul: out", out);
  check_dtype("silu_mul: gate_up", gate_up, out.dtype);
  if (!out.empty()) launch_silu_mul(launch_, out, gate_up);
}

void CudaOps::gather_rows(TensorView out, TensorView x, const int32_t* rows) {
  check_shape("gather_rows: out", out, out.rows, x.cols);
  check_dtype("gather_rows: out", out, x.dtype);
  if (!out.empty()) launch_gather_rows(launch_, out, x, rows);
}

void CudaOps::count_tokens(int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids, int64_t n,
                           bool in_prompt) {
  if (n > 0 && vocab_size > 0) launch_count_tokens(launch_, counts, vocab_begin, vocab_size, ids, n, in_prompt);
}

void CudaOps::process_logits(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const LogitEdit* edits,
                             int32_t* counts, const int32_t* last_token) {
  check_shape("process_logits: logits", logits, logits.rows, logits.cols);
  check_dtype("process_logits: logits", logits, DType::kFloat32);
  if (!logits.empty()) launch_process_logits(launch_, logits, vocab_begin, rows, edits, counts, last_token);
}

void CudaOps::apply_masks(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const uint32_t* masks, int64_t words) {
  check_shape("apply_masks: logits", logits, logits.rows, logits.cols);
  check_dtype("apply_masks: logits", logits, DType::kFloat32);
  check(words * 32 >= vocab_begin % 32 + logits.cols, "apply_masks: masks of {} words for {} tokens from bit {} on", words,
        logits.cols, vocab_begin % 32);
  if (!logits.empty()) launch_apply_masks(launch_, logits, vocab_begin, rows, masks, words);
}

void CudaOps::shard_maxima(uint32_t* maxima, TensorView logits) {
  check_shape("shard_maxima: logits", logits, logits.rows, logits.cols);
  check_dtype("shard_maxima: logits", logits, DType::kFloat32);
  check(logits.cols <= kMaxVocab, "shard_maxima: {} logits in a row, at most {} are possible", logits.cols, kMaxVocab);
  if (logits.rows > 0) launch_shard_maxima(launch_, maxima, logits);
}

void CudaOps::begin_search(ThresholdSearch* search, const uint32_t* maxima, int32_t num_shards, int32_t num_rows) {
  if (num_rows > 0) launch_begin_search(launch_, search, maxima, num_shards, num_rows);
}

void CudaOps::weigh_digits(uint64_t* weights, TensorView logits, const ThresholdSearch* search, const SamplingRow* rows,
                           TokenFilter filter, int32_t digit) {
  check_shape("weigh_digits: logits", logits, logits.rows, logits.cols);
  check_dtype("weigh_digits: logits", logits, DType::kFloat32);
  check(logits.cols <= kMaxVocab, "weigh_digits: {} logits in a row, at most {} are possible", logits.cols, kMaxVocab);
  if (logits.rows > 0) launch_weigh_digits(launch_, weights, logits, search, rows, filter, digit);
}

void CudaOps::choose_digits(ThresholdSearch* search, const uint64_t* weights, int32_t num_shards, int32_t num_rows,
                            const SamplingRow* rows, TokenFilter filter, int32_t digit) {
  if (num_rows > 0) launch_choose_digits(launch_, search, weights, num_shards, num_rows, rows, filter, digit);
}

void CudaOps::end_search(float* threshold, const ThresholdSearch* search, int32_t num_rows, const SamplingRow* rows) {
  if (num_rows > 0) launch_end_search(launch_, threshold, search, num_rows, rows);
}

void CudaOps::sample_candidates(Candidate* out, TensorView logits, int64_t vocab_begin, const float* threshold,
                                const SamplingRow* rows) {
  check_shape("sample_candidates: logits", logits, logits.rows, logits.cols);
  check_dtype("sample_candidates: logits", logits, DType::kFloat32);
  if (logits.rows > 0) launch_sample_candidates(launch_, out, logits, vocab_begin, threshold, rows);
}

void CudaOps::choose_tokens(int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards,
                            int32_t num_rows, const SamplingRow* rows) {
  if (num_rows > 0) launch_choose_tokens(launch_, tokens, last_token, candidates, num_shards, num_rows, rows);
}

void CudaOps::logprobs(LogprobResult* results, TensorView full, const int32_t* tokens, const LogprobRequest* requests,
                       int32_t n) {
  check_shape("logprobs: full", full, full.rows, full.cols);
  check_dtype("logprobs: full", full, DType::kFloat32);
  check(full.cols <= std::numeric_limits<int32_t>::max() / 2, "logprobs: a vocabulary of {}", full.cols);
  if (n > 0) launch_logprobs(launch_, results, full, tokens, requests, n);
}

void CudaOps::fill_random(TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0, int64_t full_cols) {
  check_float("fill_random: out", out);
  if (!out.empty()) launch_fill_random(launch_, out, seed, scale, row0, col0, full_cols);
}

void CudaOps::fill(TensorView out, float value) {
  if (!out.empty()) launch_fill(launch_, out, value);
}

}  // namespace lockstep::cuda
