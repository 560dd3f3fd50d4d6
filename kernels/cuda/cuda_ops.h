// CudaOps: kernels/ops.h on one CUDA device. Checks shapes and dtypes; the launchers of launch.h do the work.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_cublaslt.h"
#include "kernels/ops.h"

namespace lockstep::cuda {

class CudaOps : public Ops {
 public:
  // scratch: at least scratch_bytes_needed(sm_count) bytes of device memory that only this object uses; the workspace likewise.
  CudaOps(const Launch& launch, void* cublas_workspace, size_t cublas_workspace_bytes)
      : launch_(launch), cublas_(launch.stream, cublas_workspace, cublas_workspace_bytes) {}
  // Where the ops go from here on. Beside the stream of the constructor only such as use neither scratch nor workspace: norms.
  void use_stream(cudaStream_t stream) { launch_.stream = stream; }

  void scatter(int32_t* to, const int64_t* places, const int32_t* values, int64_t n) override;
  void resolve_tokens(const BatchView& batch, const int32_t* last_token) override;
  void embedding(TensorView out, TensorView table, int64_t vocab_begin, const BatchView& batch) override;
  void rope_table(TensorView cos_sin, const float* inv_freq, const BatchView& batch) override;
  void rms_norm(TensorView out, TensorView x, TensorView weight, float eps) override;
  void add_rms_norm(TensorView out, TensorView residual, TensorView sum, TensorView bias, TensorView weight, float eps) override;
  void linear(TensorView out, const Rows& rows, const LinearWeight& w, TensorView bias) override;
  Rows linear_add_norm(TensorView out, TensorView residual, TensorView sum, TensorView x, const LinearWeight& w, TensorView bias,
                       TensorView norm_weight, float eps) override;
  bool linear_by_library(TensorView out, TensorView x, const LinearWeight& w) override;
  void norm_rope_store(TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm, float eps,
                       TensorView cos_sin, const BatchView& batch, const PagedKv& kv) override;
  void attention(TensorView out, TensorView qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                 const PagedKv& kv) override;
  void rope_attention(TensorView out, TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm, float eps,
                      TensorView cos_sin, float scale, const BatchView& batch, const PagedKv& kv) override;
  void gated_linear(TensorView out, TensorView gate_up, const Rows& rows, const LinearWeight& w, TensorView bias) override;
  void silu_mul(TensorView out, TensorView gate_up) override;
  void gather_rows(TensorView out, TensorView x, const int32_t* rows) override;

  void count_tokens(int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids, int64_t n,
                    bool in_prompt) override;
  void process_logits(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const LogitEdit* edits, int32_t* counts,
                      const int32_t* last_token) override;
  void apply_masks(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const uint32_t* masks,
                   int64_t words) override;
  void shard_maxima(uint32_t* maxima, TensorView logits) override;
  void begin_search(ThresholdSearch* search, const uint32_t* maxima, int32_t num_shards, int32_t num_rows) override;
  void weigh_digits(uint64_t* weights, TensorView logits, const ThresholdSearch* search, const SamplingRow* rows,
                    TokenFilter filter, int32_t digit) override;
  void choose_digits(ThresholdSearch* search, const uint64_t* weights, int32_t num_shards, int32_t num_rows,
                     const SamplingRow* rows, TokenFilter filter, int32_t digit) override;
  void end_search(float* threshold, const ThresholdSearch* search, int32_t num_rows, const SamplingRow* rows) override;
  void sample_candidates(Candidate* out, TensorView logits, int64_t vocab_begin, const float* threshold,
                         const SamplingRow* rows) override;
  void choose_tokens(int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards, int32_t num_rows,
                     const SamplingRow* rows) override;
  void logprobs(LogprobResult* results, TensorView full, const int32_t* tokens, const LogprobRequest* requests,
                int32_t n) override;

  void fill_random(TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0, int64_t full_cols) override;
  void fill(TensorView out, float value) override;

 private:
  Launch launch_;
  CublasLinear cublas_;
};

}  // namespace lockstep::cuda
