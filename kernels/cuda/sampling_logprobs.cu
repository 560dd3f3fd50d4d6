// Log-probabilities for the requests that asked. One block a request.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sampling.cuh"
#include "kernels/ordered_bits.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 1024;

// A logit and its token as one integer whose order is: larger logit first, then lower token. 0, of a NaN, is below all.
__device__ __forceinline__ uint64_t rank_key(float logit, int token) {
  const uint32_t ordered = ordered_bits(logit);
  return ordered == 0 ? 0 : static_cast<uint64_t>(ordered) << 32 | (0xffffffffu - static_cast<uint32_t>(token));
}

struct MaxKey {
  __device__ __forceinline__ uint64_t operator()(uint64_t a, uint64_t b) const { return a > b ? a : b; }
};

__global__ void __launch_bounds__(kThreads)
    logprobs_kernel(LogprobResult* results, TensorView full, const int32_t* tokens, const LogprobRequest* requests) {
  start_next();
  wait_for_previous();
  __shared__ float shared[32];
  __shared__ uint64_t shared_keys[32];
  const LogprobRequest request = requests[blockIdx.x];
  const float* logit = static_cast<const float*>(full.data) + request.row * full.stride;
  const int vocab = static_cast<int>(full.cols);
  LogprobResult* result = &results[blockIdx.x];

  float top = -INFINITY;
  for_each_of_block<kThreads>(logit, vocab, [&](float x, int) { top = fmaxf(top, x); });
  top = block_reduce(top, -INFINITY, shared, Max());
  float sum = 0.0f;
  for_each_of_block<kThreads>(logit, vocab, [&](float x, int) { sum += expf(x - top); });
  sum = block_reduce(sum, 0.0f, shared, Sum());
  const float log_sum = logf(sum);

  if (threadIdx.x == 0) {
    const int32_t token = tokens[request.row];
    result->chosen = token >= 0 && token < vocab ? logit[token] - top - log_sum : -INFINITY;
  }
  const int count = request.count < kMaxTopLogprobs ? request.count : kMaxTopLogprobs;
  uint64_t bound = ~0ull;
  for (int i = 0; i < kMaxTopLogprobs; ++i) {
    uint64_t best = 0;
    if (i < count) {
      // The best of those after the one found before.
      for_each_of_block<kThreads>(logit, vocab, [&](float x, int c) {
        const uint64_t key = rank_key(x, c);
        if (key < bound && key > best) best = key;
      });
      best = block_reduce(best, uint64_t{0}, shared_keys, MaxKey());
    }
    if (threadIdx.x == 0) {
      const auto token = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(best));
      const bool found = best != 0;
      result->top_token[i] = found ? token : -1;
      result->top_logprob[i] = found ? logit[token] - top - log_sum : -INFINITY;
    }
    bound = best;
  }
}

}  // namespace

void launch_logprobs(const Launch& to, LogprobResult* results, TensorView full, const int32_t* tokens,
                     const LogprobRequest* requests, int32_t n) {
  launch_kernel(to, logprobs_kernel, static_cast<unsigned>(n), kThreads, 0, results, full, tokens, requests);
  check_launch("logprobs");
}

}  // namespace lockstep::cuda
