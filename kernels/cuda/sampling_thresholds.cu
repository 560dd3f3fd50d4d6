// The search for thresholds (kernels/threshold_search.h): blocks share a row's logits, and add integers.
#include <algorithm>

#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sampling.cuh"
#include "kernels/threshold_search.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kDigits = kSearchDigitValues;
constexpr int kCopies = 8;  // of the histogram, so that lanes with the same digit collide less
constexpr int64_t kLeastPart = 4 * kThreads;

// A weight has at most 41 bits and is added in three parts, since shared memory adds only 32-bit integers natively. A counter
// receives one addition from each of at most 2^21 / kCopies tokens, of under 2^14: no overflow.
constexpr int kParts = 3;
constexpr int kPartBits = 14;

struct Max32 {
  __device__ __forceinline__ uint32_t operator()(uint32_t a, uint32_t b) const { return a > b ? a : b; }
};

// The logits of this block: a part of row blockIdx.x.
struct Part {
  const float* logit;
  int count;
};
__device__ Part part_of_row(const TensorView& logits, int64_t part) {
  const int64_t begin = blockIdx.y * part, left = logits.cols - begin;
  return {static_cast<const float*>(logits.data) + blockIdx.x * logits.stride + begin,
          static_cast<int>(left < part ? left : part)};
}

// Grid: rows, parts. maxima: [rows], zeros before.
__global__ void __launch_bounds__(kThreads) maxima_kernel(uint32_t* maxima, TensorView logits, int64_t part) {
  start_next();
  wait_for_previous();
  __shared__ uint32_t shared[32];
  const Part own = part_of_row(logits, part);
  uint32_t top = 0;
  for_each_of_block<kThreads>(own.logit, own.count, [&](float x, int) { top = max(top, ordered_bits(x)); });
  top = block_reduce(top, 0u, shared, Max32());
  if (threadIdx.x == 0) atomicMax(maxima + blockIdx.x, top);
}

__global__ void __launch_bounds__(kThreads)
    begin_search_kernel(ThresholdSearch* search, const uint32_t* maxima, int num_shards, int num_rows) {
  start_next();
  wait_for_previous();
  const int s = blockIdx.x * kThreads + threadIdx.x;
  if (s >= num_rows) return;
  uint32_t top = 0;
  for (int shard = 0; shard < num_shards; ++shard) top = max(top, maxima[shard * num_rows + s]);
  ThresholdSearch begun;
  begun.top = from_ordered_bits(top);
  search[s] = begun;
}

// Grid: rows, parts. weights: [rows, kDigits], zeros before.
__global__ void __launch_bounds__(kThreads) weigh_kernel(uint64_t* weights, TensorView logits, const ThresholdSearch* all,
                                                         const SamplingRow* rows, TokenFilter filter, int digit, int64_t part) {
  start_next();
  wait_for_previous();
  __shared__ uint32_t histogram[kParts][kDigits][kCopies];
  const ThresholdSearch search = all[blockIdx.x];
  const SamplingRow row = rows[blockIdx.x];
  if (!searches(search, row, filter)) return;
  for (int i = threadIdx.x; i < kParts * kDigits * kCopies; i += kThreads) (&histogram[0][0][0])[i] = 0;
  __syncthreads();
  const Part own = part_of_row(logits, part);
  for_each_of_block<kThreads>(own.logit, own.count, [&](float x, int) {
    const uint32_t key = ordered_bits(x);
    if (!counts_in(search, key, digit)) return;
    const uint64_t weight = filter == TokenFilter::kTopK ? 1 : mass_of(relative_probability(x, search.top, row.temperature));
    const uint32_t value = digit_of(key, digit);
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const auto bits = static_cast<uint32_t>(weight >> (i * kPartBits)) & ((1u << kPartBits) - 1);
      if (bits) atomicAdd(&histogram[i][value][threadIdx.x % kCopies], bits);
    }
  });
  __syncthreads();
  for (int value = threadIdx.x; value < kDigits; value += kThreads) {
    uint64_t sum = 0;
    for (int i = 0; i < kParts; ++i) {
      for (int copy = 0; copy < kCopies; ++copy) sum += static_cast<uint64_t>(histogram[i][value][copy]) << (i * kPartBits);
    }
    if (sum == 0) continue;
    // 64-bit integers are added natively in device memory.
    atomicAdd(reinterpret_cast<unsigned long long*>(weights + static_cast<int64_t>(blockIdx.x) * kDigits + value),
              static_cast<unsigned long long>(sum));
  }
}

// One block a row, a thread a digit.
__global__ void __launch_bounds__(kDigits) choose_kernel(ThresholdSearch* all, const uint64_t* weights, int num_shards,
                                                         int num_rows, const SamplingRow* rows, TokenFilter filter, int digit) {
  start_next();
  wait_for_previous();
  __shared__ uint64_t weight[kDigits];
  __shared__ uint64_t sums[32];
  const int64_t s = blockIdx.x;
  ThresholdSearch search = all[s];
  const SamplingRow row = rows[s];
  if (!searches(search, row, filter)) return;
  uint64_t own = 0;
  for (int64_t shard = 0; shard < num_shards; ++shard) own += weights[(shard * num_rows + s) * kDigits + threadIdx.x];
  weight[threadIdx.x] = own;
  const uint64_t total = block_reduce(own, uint64_t{0}, sums, Sum());  // and a barrier
  if (threadIdx.x >= 32) return;
  if (digit == 0) search.target = target_of(row, filter, total);

  // The lowest digit that has weight and less than the target above it.
  constexpr int kPerLane = kDigits / 32;
  const int lane = threadIdx.x;
  const int highest = kDigits - 1 - lane * kPerLane;  // lane 0 has the highest digits
  uint64_t of_lane = 0;
  for (int i = 0; i < kPerLane; ++i) of_lane += weight[highest - i];
  uint64_t before = of_lane;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const uint64_t other = __shfl_up_sync(kFullMask, before, offset);
    if (lane >= offset) before += other;
  }
  uint64_t above = search.above + before - of_lane;
  int found = -1;
  uint64_t found_above = 0;
  for (int i = 0; i < kPerLane; ++i) {
    const uint64_t w = weight[highest - i];
    if (w > 0 && above < search.target) {
      found = highest - i;
      found_above = above;
    }
    above += w;
  }
  const unsigned lanes = __ballot_sync(kFullMask, found >= 0);
  const int last = lanes == 0 ? 0 : 31 - __clz(static_cast<int>(lanes));
  if (lane != last) return;
  if (lanes == 0) {  // nothing has weight
    found = 0;
    found_above = search.above;
  }
  found_digit(search, static_cast<uint32_t>(found), found_above, digit);
  all[s] = search;
}

__global__ void __launch_bounds__(kThreads)
    end_search_kernel(float* threshold, const ThresholdSearch* search, int num_rows, const SamplingRow* rows) {
  start_next();
  wait_for_previous();
  const int s = blockIdx.x * kThreads + threadIdx.x;
  if (s < num_rows) threshold[s] = threshold_of(search[s], rows[s]);
}

struct Grid {
  dim3 blocks;
  int64_t part;  // logits of a block
};
Grid grid_for(const Launch& to, const TensorView& logits) {
  const int64_t wanted = (2 * to.sm_count + logits.rows - 1) / logits.rows;
  const int64_t part = std::max(kLeastPart, (logits.cols + wanted - 1) / wanted);
  return {dim3(static_cast<unsigned>(logits.rows), static_cast<unsigned>((logits.cols + part - 1) / part)), part};
}

unsigned blocks_for(int32_t rows) { return (static_cast<unsigned>(rows) + kThreads - 1) / kThreads; }

}  // namespace

void launch_shard_maxima(const Launch& to, uint32_t* maxima, TensorView logits) {
  check_cuda(cudaMemsetAsync(maxima, 0, static_cast<size_t>(logits.rows) * sizeof(uint32_t), to.stream), "shard_maxima");
  if (logits.cols == 0) return;
  const Grid grid = grid_for(to, logits);
  launch_kernel(to, maxima_kernel, grid.blocks, kThreads, 0, maxima, logits, grid.part);
  check_launch("shard_maxima");
}

void launch_begin_search(const Launch& to, ThresholdSearch* search, const uint32_t* maxima, int32_t num_shards,
                         int32_t num_rows) {
  launch_kernel(to, begin_search_kernel, blocks_for(num_rows), kThreads, 0, search, maxima, num_shards, num_rows);
  check_launch("begin_search");
}

void launch_weigh_digits(const Launch& to, uint64_t* weights, TensorView logits, const ThresholdSearch* search,
                         const SamplingRow* rows, TokenFilter filter, int32_t digit) {
  check_cuda(cudaMemsetAsync(weights, 0, static_cast<size_t>(logits.rows) * kDigits * sizeof(uint64_t), to.stream),
             "weigh_digits");
  if (logits.cols == 0) return;
  const Grid grid = grid_for(to, logits);
  launch_kernel(to, weigh_kernel, grid.blocks, kThreads, 0, weights, logits, search, rows, filter, digit, grid.part);
  check_launch("weigh_digits");
}

void launch_choose_digits(const Launch& to, ThresholdSearch* search, const uint64_t* weights, int32_t num_shards,
                          int32_t num_rows, const SamplingRow* rows, TokenFilter filter, int32_t digit) {
  launch_kernel(to, choose_kernel, static_cast<unsigned>(num_rows), kDigits, 0, search, weights, num_shards, num_rows, rows,
                filter, digit);
  check_launch("choose_digits");
}

void launch_end_search(const Launch& to, float* threshold, const ThresholdSearch* search, int32_t num_rows,
                       const SamplingRow* rows) {
  launch_kernel(to, end_search_kernel, blocks_for(num_rows), kThreads, 0, threshold, search, num_rows, rows);
  check_launch("end_search");
}

}  // namespace lockstep::cuda
