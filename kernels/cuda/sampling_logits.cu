// Token counts, penalties, edits and masks of the logits.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void count_tokens_kernel(int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids, int64_t n,
                                    bool in_prompt) {
  start_next();
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t token = ids[i] - vocab_begin;
  if (token < 0 || token >= vocab_size) return;
  if (in_prompt) {
    atomicOr(&counts[token], kInPromptBit);
  } else {
    atomicAdd(&counts[token], 1);
  }
}

// Counts the token that each sequence produced last. One thread a row.
__global__ void count_last_kernel(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, int32_t* counts,
                                  const int32_t* last_token) {
  start_next();
  wait_for_previous();
  const int64_t s = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (s >= logits.rows) return;
  const SamplingRow row = rows[s];
  if (row.penalty_row < 0 || row.output_index <= 0) return;
  const int64_t token = last_token[row.slot] - vocab_begin;
  if (token >= 0 && token < logits.cols) atomicAdd(&counts[row.penalty_row * logits.cols + token], 1);
}

// Grid: rows, runs of columns.
__global__ void penalties_kernel(TensorView logits, const SamplingRow* rows, const int32_t* counts) {
  start_next();
  wait_for_previous();
  const SamplingRow& row = rows[blockIdx.x];
  if (row.penalty_row < 0) return;
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (c >= logits.cols) return;
  const int32_t count = counts[row.penalty_row * logits.cols + c];
  if (count == 0) return;
  float& logit = static_cast<float*>(logits.data)[blockIdx.x * logits.stride + c];
  float x = logit;
  x = x > 0.0f ? x / row.repetition_penalty : x * row.repetition_penalty;
  const int32_t in_output = count & ~kInPromptBit;
  if (in_output > 0) x -= row.frequency_penalty * static_cast<float>(in_output) + row.presence_penalty;
  logit = x;
}

// One warp a row. Edits apply in the order of the list, also several of one token, so that the sum is always the same.
__global__ void edits_kernel(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const LogitEdit* edits) {
  start_next();
  wait_for_previous();
  const int lane = threadIdx.x;
  const SamplingRow& row = rows[blockIdx.x];
  float* logit = static_cast<float*>(logits.data) + blockIdx.x * logits.stride;
  for (int base = row.edit_begin; base < row.edit_end; base += 32) {
    const bool present = base + lane < row.edit_end;
    const LogitEdit edit = present ? edits[base + lane] : LogitEdit{};
    const int64_t token = edit.token - vocab_begin;
    const bool mine = present && token >= 0 && token < logits.cols;
    // Lanes with the same token take turns; of most tokens there is one.
    const unsigned same = __match_any_sync(kFullMask, mine ? edit.token : -1 - lane);
    const int turn = __popc(same & ((1u << lane) - 1));
    for (int i = 0; __any_sync(kFullMask, mine && turn >= i); ++i) {
      if (mine && turn == i) logit[token] += edit.add;
      __syncwarp();
    }
  }
}

// One thread a logit; only those that are not allowed are touched.
__global__ void __launch_bounds__(kThreads)
    masks_kernel(TensorView logits, int64_t shift, const SamplingRow* rows, const uint32_t* masks, int64_t words) {
  start_next();
  wait_for_previous();
  const int32_t mask_row = rows[blockIdx.x].mask_row;
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (mask_row < 0 || c >= logits.cols) return;
  const int64_t bit = shift + c;
  if ((masks[mask_row * words + bit / 32] >> (bit % 32) & 1u) != 0) return;
  static_cast<float*>(logits.data)[blockIdx.x * logits.stride + c] = -INFINITY;
}

}  // namespace

void launch_count_tokens(const Launch& to, int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids,
                         int64_t n, bool in_prompt) {
  const auto blocks = static_cast<unsigned>(divide_up(n, kThreads));
  launch_kernel(to, count_tokens_kernel, blocks, kThreads, 0, counts, vocab_begin, vocab_size, ids, n, in_prompt);
  check_launch("count_tokens");
}

void launch_process_logits(const Launch& to, TensorView logits, int64_t vocab_begin, const SamplingRow* rows,
                           const LogitEdit* edits, int32_t* counts, const int32_t* last_token) {
  const auto num_rows = static_cast<unsigned>(logits.rows);
  if (counts) {
    const auto blocks = static_cast<unsigned>(divide_up(logits.rows, kThreads));
    launch_kernel(to, count_last_kernel, blocks, kThreads, 0, logits, vocab_begin, rows, counts, last_token);
    const dim3 grid(num_rows, static_cast<unsigned>(divide_up(logits.cols, kThreads)));
    launch_kernel(to, penalties_kernel, grid, kThreads, 0, logits, rows, counts);
  }
  if (edits) launch_kernel(to, edits_kernel, num_rows, 32, 0, logits, vocab_begin, rows, edits);
  check_launch("process_logits");
}

void launch_apply_masks(const Launch& to, TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const uint32_t* masks,
                        int64_t words) {
  const dim3 grid(static_cast<unsigned>(logits.rows), static_cast<unsigned>(divide_up(logits.cols, kThreads)));
  launch_kernel(to, masks_kernel, grid, kThreads, 0, logits, vocab_begin % 32, rows, masks, words);
  check_launch("apply_masks");
}

}  // namespace lockstep::cuda
