// The operations of kernels/ops.h on the host's cores; the contract of each is there.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/ops.h"

namespace lockstep::cpu {

// 64-byte aligned memory that grows and is kept: an op allocates only when its shape is the largest so far.
class Scratch {
 public:
  Scratch() = default;
  Scratch(Scratch&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  // At least `bytes`; contents undefined.
  void* get(size_t bytes);
  template <typename T>
  T* get_as(int64_t count) {
    return static_cast<T*>(get(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

class CpuOps final : public Ops {
 public:
  CpuOps(const CpuKernels& kernels, ThreadPool& pool);
  ~CpuOps() override;

  void scatter(int32_t* to, const int64_t* places, const int32_t* values, int64_t n) override;
  void resolve_tokens(const BatchView& batch, const int32_t* last_token) override;
  void embedding(TensorView out, TensorView table, int64_t vocab_begin, const BatchView& batch) override;
  void rope_table(TensorView cos_sin, const float* inv_freq, const BatchView& batch) override;
  void rms_norm(TensorView out, TensorView x, TensorView weight, float eps) override;
  void add_rms_norm(TensorView out, TensorView residual, TensorView sum, TensorView bias, TensorView weight, float eps) override;
  void linear(TensorView out, const Rows& rows, const LinearWeight& w, TensorView bias) override;
  void norm_rope_store(TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm, float eps,
                       TensorView cos_sin, const BatchView& batch, const PagedKv& kv) override;
  void attention(TensorView out, TensorView qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                 const PagedKv& kv) override;
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
  struct AttentionTask;
  struct Partial;
  struct ChunkOfTask {
    const AttentionTask* task = nullptr;  // in tasks_; or nullptr: none
    int64_t chunk = 0;
  };
  void plan_attention(const TensorView& out, const TensorView& qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                      const PagedKv& kv);
  void rows_of_cache(const AttentionTask& task, const void* cache, int64_t position, int64_t n, const void** at) const;
  void attend_chunk(const AttentionTask& task, int64_t chunk, const ChunkOfTask& next, Scratch& scratch,
                    const Partial& partial) const;
  void merge_chunk(const AttentionTask& task, int64_t chunk, const Partial& running, const Partial& next) const;
  void finish_task(const AttentionTask& task, const Partial& total) const;

  // x as the kernels want it beside weights of that dtype: itself, or rounded to bfloat16 in operand_scratch_,
  // by rows or in the tiles of pack_operand().
  TensorView linear_operand(const TensorView& x, DType weight_dtype);
  TensorView packed_operand(const TensorView& x);

  int64_t parts_of_row(const TensorView& logits) const;
  // [rows, blocks of kMaxBlock columns]; in shared_scratch_.
  const float* block_maxima(const TensorView& logits);
  static Candidate best_of(const Candidate* candidates, int64_t n, int64_t stride);

  const CpuKernels& kernels_;
  ThreadPool& pool_;
  std::vector<Scratch> thread_scratch_;  // one a thread
  Scratch shared_scratch_;
  Scratch operand_scratch_;           // x of a linear, rounded
  std::vector<AttentionTask> tasks_;  // of the attention that runs
  std::vector<ChunkOfTask> chunks_;
};

// Throw Error naming the op, the tensor and both shapes.
void check_shape(const char* op, const char* name, const TensorView& t, int64_t rows, int64_t cols);
void check_float32(const char* op, const char* name, const TensorView& t);
void check_floating(const char* op, const char* name, const TensorView& t);  // float32, bfloat16 or float16
// [1, cols] of a floating dtype, or absent (data == nullptr).
void check_optional_vector(const char* op, const char* name, const TensorView& t, int64_t cols);

// Elements of simple work for which another thread is worth calling.
inline constexpr int64_t kElementGrain = 32 * 1024;
// Rows of `cols` elements that make kElementGrain.
inline int64_t row_grain(int64_t cols) { return cols >= kElementGrain ? 1 : kElementGrain / (cols > 0 ? cols : 1); }

}  // namespace lockstep::cpu
