// The best token of a shard, and the best of the shards' best.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/random.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kTokensPerBlock = 4096;

// The larger value, then the lower id; token -1 is no candidate. A total order, so any order of reduction gives the same.
struct Better {
  __device__ __forceinline__ Candidate operator()(const Candidate& a, const Candidate& b) const {
    if (a.token < 0) return b;
    if (b.token < 0) return a;
    if (a.value != b.value) return a.value > b.value ? a : b;
    return a.token < b.token ? a : b;
  }
};

__device__ __forceinline__ Candidate block_best(Candidate best) {
  __shared__ Candidate shared[kThreads / 32];
  const auto warp_best = [](Candidate x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const Candidate other = {__shfl_xor_sync(kFullMask, x.value, offset), __shfl_xor_sync(kFullMask, x.token, offset)};
      x = Better()(x, other);
    }
    return x;
  };
  best = warp_best(best);
  const int lane = threadIdx.x % 32;
  if (lane == 0) shared[threadIdx.x / 32] = best;
  __syncthreads();
  return warp_best(lane < kThreads / 32 ? shared[lane] : Candidate{});
}

// Grid: rows, parts of the shard's vocabulary. out: [rows, parts].
__global__ void __launch_bounds__(kThreads) candidates_kernel(Candidate* out, TensorView logits, int64_t vocab_begin,
                                                              const float* threshold, const SamplingRow* rows, int64_t part) {
  start_next();
  wait_for_previous();
  const SamplingRow row = rows[blockIdx.x];
  const float least = threshold ? threshold[blockIdx.x] : -INFINITY;
  const float* logit = static_cast<const float*>(logits.data) + blockIdx.x * logits.stride;
  const int64_t begin = blockIdx.y * part;
  const int64_t end = begin + part < logits.cols ? begin + part : logits.cols;
  const bool greedy = !(row.temperature > 0.0f);
  Candidate best;
  for (int64_t c = begin + threadIdx.x; c < end; c += kThreads) {
    const float x = logit[c];
    if (!(x >= least) || x == -INFINITY) continue;  // filtered, NaN or banned
    const auto token = static_cast<int32_t>(vocab_begin + c);
    float value = x;
    if (!greedy) value = x / row.temperature - logf(-logf(sample_uniform(row.seed, row.output_index, token)));
    best = Better()(best, {value, token});
  }
  best = block_best(best);
  if (threadIdx.x == 0) out[static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y] = best;
}

// One block a row. parts: [rows, num_parts].
__global__ void __launch_bounds__(kThreads) best_part_kernel(Candidate* out, const Candidate* parts, int num_parts) {
  start_next();
  wait_for_previous();
  Candidate best;
  for (int i = threadIdx.x; i < num_parts; i += kThreads) {
    best = Better()(best, parts[static_cast<int64_t>(blockIdx.x) * num_parts + i]);
  }
  best = block_best(best);
  if (threadIdx.x == 0) out[blockIdx.x] = best;
}

__global__ void choose_tokens_kernel(int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards,
                                     int32_t num_rows, const SamplingRow* rows) {
  start_next();
  wait_for_previous();
  const int s = blockIdx.x * kThreads + threadIdx.x;
  if (s >= num_rows) return;
  Candidate best;
  for (int i = 0; i < num_shards; ++i) {
    const Candidate candidate = candidates[static_cast<int64_t>(i) * num_rows + s];
    if (!isnan(candidate.value)) best = Better()(best, candidate);
  }
  tokens[s] = best.token;
  if (rows[s].slot >= 0) last_token[rows[s].slot] = best.token;
}

}  // namespace

void launch_sample_candidates(const Launch& to, Candidate* out, TensorView logits, int64_t vocab_begin, const float* threshold,
                              const SamplingRow* rows) {
  const int64_t room = static_cast<int64_t>(to.scratch_bytes / sizeof(Candidate)) / logits.rows;
  int64_t parts = divide_up(logits.cols, kTokensPerBlock);
  parts = parts < room ? parts : room;
  parts = parts < 1 ? 1 : parts > 1024 ? 1024 : parts;
  const dim3 grid(static_cast<unsigned>(logits.rows), static_cast<unsigned>(parts));
  auto* part_out = parts == 1 ? out : static_cast<Candidate*>(to.scratch);
  launch_kernel(to, candidates_kernel, grid, kThreads, 0, part_out, logits, vocab_begin, threshold, rows,
                divide_up(logits.cols, parts));
  if (parts > 1) launch_kernel(to, best_part_kernel, grid.x, kThreads, 0, out, part_out, static_cast<int>(parts));
  check_launch("sample_candidates");
}

void launch_choose_tokens(const Launch& to, int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards,
                          int32_t num_rows, const SamplingRow* rows) {
  const auto blocks = static_cast<unsigned>(divide_up(num_rows, kThreads));
  launch_kernel(to, choose_tokens_kernel, blocks, kThreads, 0, tokens, last_token, candidates, num_shards, num_rows, rows);
  check_launch("choose_tokens");
}

}  // namespace lockstep::cuda
