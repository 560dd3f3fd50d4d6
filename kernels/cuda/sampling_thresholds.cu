// The smallest logit that survives top_k, top_p and min_p, exactly and without sorting. One block a row.
//
// Both top_k and top_p ask for the smallest value v such that the weight of everything above v is less than a target, where each
// token weighs 1 or its probability. A radix descent finds it, 8 bits at a time: a histogram of the weights by the next digit of
// the value says in which digit v lies. Probabilities are integers, so the sums do not depend on the order of the atomic
// additions.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sampling.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kDigits = 256;
constexpr int kCopies = 8;  // of the histogram, so that lanes with the same digit collide less

// A weight has at most 41 bits and is added in three parts, since shared memory adds only 32-bit integers natively. A counter
// receives one addition from each of at most 2^21 / kCopies tokens, of under 2^14: no overflow.
constexpr int kParts = 3;
constexpr int kPartBits = 14;
constexpr float kUnitMass = 1099511627776.0f;  // 2^40: the weight of the most likely token

struct Shared {
  uint32_t histogram[kParts][kDigits][kCopies];
  uint64_t weight[kDigits];
  uint64_t sums[32];
  float floats[32];
  uint32_t keys[32];
  uint64_t above;
  uint32_t digit;
};

struct MinKey {
  __device__ __forceinline__ uint32_t operator()(uint32_t a, uint32_t b) const { return a < b ? a : b; }
};

// The lowest digit that has weight and less than `target` above it, given what lies above all digits; into shared.digit and
// shared.above. Called by one warp.
__device__ void select_digit(Shared& shared, uint64_t above, uint64_t target) {
  constexpr int kPerLane = kDigits / 32;
  const int lane = threadIdx.x % 32;
  const int top = kDigits - 1 - lane * kPerLane;  // lane 0 has the highest digits
  uint64_t own = 0;
  for (int i = 0; i < kPerLane; ++i) own += shared.weight[top - i];
  uint64_t before = own;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const uint64_t other = __shfl_up_sync(kFullMask, before, offset);
    if (lane >= offset) before += other;
  }
  uint64_t cumulative = above + before - own;
  int digit = -1;
  uint64_t digit_above = 0;
  for (int i = 0; i < kPerLane; ++i) {
    const uint64_t weight = shared.weight[top - i];
    if (weight > 0 && cumulative < target) {
      digit = top - i;
      digit_above = cumulative;
    }
    cumulative += weight;
  }
  const unsigned found = __ballot_sync(kFullMask, digit >= 0);
  if (found == 0 && lane == 0) {
    shared.digit = 0;
    shared.above = above;
  }
  if (found != 0 && lane == 31 - __clz(static_cast<int>(found))) {
    shared.digit = static_cast<uint32_t>(digit);
    shared.above = digit_above;
  }
}

// Ordered bits of the smallest logit for which the weight of all larger ones is less than `target`; 0 when nothing has weight.
// weight(x, key): of a logit and its ordered bits, less than 2^41.
template <typename Weight>
__device__ uint32_t radix_select(Shared& shared, const float* logit, int vocab, uint64_t target, Weight weight) {
  uint32_t prefix = 0;
  uint64_t above = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < kParts * kDigits * kCopies; i += kThreads) (&shared.histogram[0][0][0])[i] = 0;
    __syncthreads();
    const uint32_t decided = shift == 24 ? 0 : ~0u << (shift + 8);
    for_each_of_block<kThreads>(logit, vocab, [&](float x, int) {
      const uint32_t key = ordered_bits(x);
      if ((key & decided) != prefix) return;
      const uint64_t w = weight(x, key);
      const uint32_t digit = key >> shift & (kDigits - 1);
      const int copy = threadIdx.x % kCopies;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const auto bits = static_cast<uint32_t>(w >> (part * kPartBits)) & ((1u << kPartBits) - 1);
        if (bits) atomicAdd(&shared.histogram[part][digit][copy], bits);
      }
    });
    __syncthreads();
    for (int digit = threadIdx.x; digit < kDigits; digit += kThreads) {
      uint64_t sum = 0;
      for (int part = 0; part < kParts; ++part) {
        for (int copy = 0; copy < kCopies; ++copy) {
          sum += static_cast<uint64_t>(shared.histogram[part][digit][copy]) << (part * kPartBits);
        }
      }
      shared.weight[digit] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 32) select_digit(shared, above, target);
    __syncthreads();
    prefix |= shared.digit << shift;
    above = shared.above;
  }
  return prefix;
}

__global__ void __launch_bounds__(kThreads) thresholds_kernel(float* threshold, TensorView full, const SamplingRow* rows) {
  start_next();
  wait_for_previous();
  __shared__ Shared shared;
  const SamplingRow row = rows[blockIdx.x];
  const float* logit = static_cast<const float*>(full.data) + blockIdx.x * full.stride;
  const int vocab = static_cast<int>(full.cols);
  const bool has_top_k = row.top_k > 0 && row.top_k < vocab;
  const bool has_top_p = row.top_p < 1.0f;
  const bool has_min_p = row.min_p > 0.0f;
  uint32_t least = 0;  // ordered bits of the threshold so far
  if (row.temperature > 0.0f && (has_top_k || has_top_p || has_min_p)) {
    float top = -INFINITY;
    for_each_of_block<kThreads>(logit, vocab, [&](float x, int) { top = fmaxf(top, x); });
    top = block_reduce(top, -INFINITY, shared.floats, Max());
    // Probability over that of the most likely token.
    const auto relative = [=](float x) { return expf((x - top) / row.temperature); };
    const bool finite = !isinf(top);  // else there is no distribution to filter
    if (finite && has_top_k) {
      const auto one = [](float, uint32_t key) -> uint64_t { return key != 0; };
      least = radix_select(shared, logit, vocab, static_cast<uint64_t>(row.top_k), one);
    }
    if (finite && has_top_p) {
      const auto mass = [=](float x, uint32_t key) -> uint64_t {
        return key != 0 && key >= least ? __float2ull_rn(relative(x) * kUnitMass) : 0;
      };
      uint64_t total = 0;
      for_each_of_block<kThreads>(logit, vocab, [&](float x, int) { total += mass(x, ordered_bits(x)); });
      total = block_reduce(total, uint64_t{0}, shared.sums, Sum());
      // Tokens are kept until their sum reaches top_p: those with less than it above them. The first always is.
      const double target = ceil(static_cast<double>(row.top_p) * static_cast<double>(total));
      least = radix_select(shared, logit, vocab, target < 1.0 ? 1 : static_cast<uint64_t>(target), mass);
    }
    if (finite && has_min_p) {
      // Float decides but for what lies within its error of the bound.
      const auto survives_min_p = [=](float x) {
        const float probability = relative(x);
        if (fabsf(probability - row.min_p) > 1e-5f * row.min_p) return probability > row.min_p;
        return exp((static_cast<double>(x) - top) / row.temperature) >= row.min_p;
      };
      uint32_t smallest = ordered_bits(top);
      for_each_of_block<kThreads>(logit, vocab, [&](float x, int) {
        const uint32_t key = ordered_bits(x);
        if (key != 0 && key >= least && key < smallest && survives_min_p(x)) smallest = key;
      });
      least = block_reduce(smallest, ~0u, shared.keys, MinKey());
    }
  }
  if (threadIdx.x == 0) threshold[blockIdx.x] = least == 0 ? -INFINITY : from_ordered_bits(least);
}

}  // namespace

void launch_sample_thresholds(const Launch& to, float* threshold, TensorView full, const SamplingRow* rows) {
  launch_kernel(to, thresholds_kernel, static_cast<unsigned>(full.rows), kThreads, 0, threshold, full, rows);
  check_launch("sample_thresholds");
}

}  // namespace lockstep::cuda
