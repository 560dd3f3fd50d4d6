// What CudaOps calls: one function a kernel family, each implemented in the .cu file named beside it. Shapes are those of
// kernels/ops.h and have been checked; a launcher only chooses a kernel and a grid. Launches allocate nothing and never wait
// for the device, so that they can be captured in a CUDA graph.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/workspace.h"
#include "kernels/ops.h"

namespace lockstep::cuda {

// Where and with what a launcher may work.
struct Launch {
  cudaStream_t stream = nullptr;
  int sm_count = 1;
  bool hopper = false;           // sm_90a code runs here: wgmma, the copy engine
  bool overlap = false;          // kernels may start before the one before them has ended (launch_kernel.cuh)
  bool batch_invariant = false;  // the order in which a row is summed must not depend on the other rows of the step
  void* scratch = nullptr;       // written and read within one op; the stream orders its reuse by the next
  size_t scratch_bytes = 0;
  uint32_t* counters = nullptr;  // [kCounters], zero before and after every op
  float* squares = nullptr;      // [kMaxStreamTokens, kMaxSquareParts]: of the rows that linear_add_norm left last
};

// Throw Error that names the operation (cuda_check.cpp).
void check_cuda(cudaError_t status, const char* what);
void check_launch(const char* op);  // the error of the launches since the last check

// A vector of which only the dtype is known at run time; data == nullptr: absent.
struct AnyVector {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
};

// elementwise.cu
void launch_scatter(const Launch& to, int32_t* out, const int64_t* places, const int32_t* values, int64_t n);
void launch_resolve_tokens(const Launch& to, const BatchView& batch, const int32_t* last_token);
void launch_embedding(const Launch& to, TensorView out, TensorView table, int64_t vocab_begin, const int32_t* token_ids);
void launch_silu_mul(const Launch& to, TensorView out, TensorView gate_up);
void launch_gather_rows(const Launch& to, TensorView out, TensorView x, const int32_t* rows);
// out[m, n] += bias[n]; out float32 or act.
void launch_add_bias(const Launch& to, TensorView out, AnyVector bias);

// fill.cu
void launch_fill(const Launch& to, TensorView out, float value);
void launch_fill_random(const Launch& to, TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0,
                        int64_t full_cols);
// Reads `bytes` (a multiple of 16) once; the sum goes to *sink so that no load can be dropped.
void launch_read(const Launch& to, const void* data, size_t bytes, uint32_t* sink);

// norm.cu. sum.data == nullptr: plain rms_norm of `residual`, which is then only read.
void launch_rms_norm(const Launch& to, TensorView out, TensorView residual, TensorView sum, AnyVector bias, AnyVector weight,
                     float eps);

// rope_store.cu
void launch_rope_table(const Launch& to, TensorView cos_sin, const float* inv_freq, const int32_t* positions);
void launch_norm_rope_store(const Launch& to, TensorView qkv, const HeadLayout& heads, AnyVector q_norm, AnyVector k_norm,
                            float eps, TensorView cos_sin, const int64_t* kv_index, const PagedKv& kv);

// gemv.cu: linear for few rows, limited by the bandwidth at which w is read.
bool skinny_linear_supports(TensorView x, TensorView w);
void launch_skinny_linear(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias);
// gemm_fallback.cu: any shape, stride and alignment.
void launch_fallback_linear(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias);

// Paged attention. Row i of a KV head's queries is query token i / n, head first + i % n, with n query heads on that KV head.
struct AttentionParams {
  const void* q = nullptr;  // [T, >= Hq * D]
  int64_t q_stride = 0;
  void* out = nullptr;  // [T, Hq * D]
  int64_t out_stride = 0;
  const void* k = nullptr;  // [num_blocks, Hkv, block_size, D]
  const void* v = nullptr;
  DType dtype = DType::kFloat32;  // of q, k, v and out
  int32_t q_heads = 0, kv_heads = 0, head_dim = 0, group = 1, offset = 0, block_size = 1;
  float scale_log2 = 1.0f;  // scale * log2(e): the softmax runs in base 2
  const int32_t* query_start = nullptr;
  const int32_t* context_len = nullptr;
  int32_t context_extra = 0;  // to be added to each of them
  const int32_t* seq_slot = nullptr;
  const int32_t* block_tables = nullptr;
  int64_t block_table_stride = 0;
  int32_t num_tokens = 0, num_seqs = 0, max_query_len = 0, max_context_len = 0;
  int64_t num_blocks = 0;  // of the cache

  // Query heads that share one KV head, at most.
  int32_t max_heads_per_kv() const { return group < q_heads ? group : q_heads; }
  __host__ __device__ int32_t context_of(int seq) const { return context_len[seq] + context_extra; }
};

// What the attention of a step of single tokens does first where cos_sin is given: QK-norm and rotation of q and k, and the write
// of k and v to the cache. AttentionParams::q then is the row [q heads, k heads, v heads] of each token.
struct RopeParams {
  const float* cos_sin = nullptr;  // [T, D]
  int64_t cos_sin_stride = 0;
  AnyVector q_norm, k_norm;
  float eps = 0.0f;
  const int64_t* kv_index = nullptr;  // [T]; negative: not written
  void* k = nullptr;                  // the caches of AttentionParams
  void* v = nullptr;
};

// The sequences with exactly one query token, split over the context; leave the others alone.
// attention_decode_mma.cu: tensor cores. Reads the batch, and with `rope` the older tokens' keys and values, before the kernels
// that it overlaps have ended.
bool decode_mma_supports(const AttentionParams& p, const RopeParams& rope);
void launch_decode_mma(const Launch& to, const AttentionParams& p, const RopeParams& rope);
// attention_decode.cu: any element type.
bool decode_attention_supports(const AttentionParams& p);
void launch_decode_attention(const Launch& to, const AttentionParams& p);
// The rest take sequences of any query length; skip_single leaves out those with one query token.
// attention_prefill_wgmma.cu: the tensor cores and the copy engine of sm_90.
bool prefill_wgmma_supports(const Launch& to, const AttentionParams& p);
void launch_prefill_wgmma(const Launch& to, const AttentionParams& p, bool skip_single);
// attention_prefill.cu: the tensor cores of sm_80.
bool prefill_attention_supports(const AttentionParams& p);
void launch_prefill_attention(const Launch& to, const AttentionParams& p, bool skip_single);
// attention_general.cu: float32 arithmetic, any even head_dim.
void launch_general_attention(const Launch& to, const AttentionParams& p, bool skip_single);

// sampling_logits.cu
void launch_count_tokens(const Launch& to, int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids,
                         int64_t n, bool in_prompt);
void launch_process_logits(const Launch& to, TensorView logits, int64_t vocab_begin, const SamplingRow* rows,
                           const LogitEdit* edits, int32_t* counts, const int32_t* last_token);
void launch_apply_masks(const Launch& to, TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const uint32_t* masks,
                        int64_t words);
// sampling_thresholds.cu
void launch_shard_maxima(const Launch& to, uint32_t* maxima, TensorView logits);
void launch_begin_search(const Launch& to, ThresholdSearch* search, const uint32_t* maxima, int32_t num_shards, int32_t num_rows);
void launch_weigh_digits(const Launch& to, uint64_t* weights, TensorView logits, const ThresholdSearch* search,
                         const SamplingRow* rows, TokenFilter filter, int32_t digit);
void launch_choose_digits(const Launch& to, ThresholdSearch* search, const uint64_t* weights, int32_t num_shards,
                          int32_t num_rows, const SamplingRow* rows, TokenFilter filter, int32_t digit);
void launch_end_search(const Launch& to, float* threshold, const ThresholdSearch* search, int32_t num_rows,
                       const SamplingRow* rows);
// sampling_candidates.cu
void launch_sample_candidates(const Launch& to, Candidate* out, TensorView logits, int64_t vocab_begin, const float* threshold,
                              const SamplingRow* rows);
void launch_choose_tokens(const Launch& to, int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards,
                          int32_t num_rows, const SamplingRow* rows);
// sampling_logprobs.cu
void launch_logprobs(const Launch& to, LogprobResult* results, TensorView full, const int32_t* tokens,
                     const LogprobRequest* requests, int32_t n);

}  // namespace lockstep::cuda
