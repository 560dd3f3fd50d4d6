// What the attention kernels share: finding keys and values in the pages, and the query heads of a KV head.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {

// Where one sequence's keys (or values; same layout) of one KV head lie.
struct KvPages {
  const int32_t* table;  // block numbers of the sequence
  uint32_t block_size;
  int64_t block_stride;  // elements between blocks
  int64_t head_offset;   // of this head within a block
  int32_t head_dim;

  __device__ KvPages(const AttentionParams& p, int seq, int kv_head)
      : table(p.block_tables + p.seq_slot[seq] * p.block_table_stride),
        block_size(static_cast<uint32_t>(p.block_size)),
        block_stride(static_cast<int64_t>(p.kv_heads) * p.block_size * p.head_dim),
        head_offset(static_cast<int64_t>(kv_head) * p.block_size * p.head_dim),
        head_dim(p.head_dim) {}

  // First element of the row of the token at `position` of the context.
  __device__ __forceinline__ int64_t offset(int position) const {
    const uint32_t block = static_cast<uint32_t>(position) / block_size;
    const uint32_t row = static_cast<uint32_t>(position) - block * block_size;
    return table[block] * block_stride + head_offset + static_cast<int64_t>(row) * head_dim;
  }
};

// The local query heads [first, first + count) that read KV head `kv_head`: those h with (h + offset) / group == kv_head.
struct QueryHeads {
  int first;
  int count;

  __device__ QueryHeads(const AttentionParams& p, int kv_head) {
    const int64_t begin = static_cast<int64_t>(kv_head) * p.group - p.offset;
    const int64_t end = begin + p.group;
    first = static_cast<int>(begin < 0 ? 0 : begin);
    count = static_cast<int>(end < p.q_heads ? end : p.q_heads) - first;
  }
};

// By how much a score may exceed (in base 2) the maximum in use before sums are rescaled to a new one: the weights stay below
// 2^8, which is exact enough in every type that they take.
inline constexpr float kTopSlack = 8.0f;

__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Blocks in a row of the grid are dealt to the sequences in order, blocks_of(s) to sequence s: finds the one that has `block`,
// and which of its blocks that is. The whole warp calls; blocks_of() gets sequences below num_seqs. False: the block has no
// sequence.
template <typename BlocksOf>
__device__ __forceinline__ bool find_sequence(int num_seqs, int block, BlocksOf blocks_of, int& seq, int& place) {
  const int lane = threadIdx.x % 32;
  int before = 0;  // blocks of the sequences before `base`
  for (int base = 0; base < num_seqs; base += 32) {
    const int own = base + lane < num_seqs ? blocks_of(base + lane) : 0;
    int last = own;  // blocks up to and including this lane's
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int other = __shfl_up_sync(kFullMask, last, offset);
      if (lane >= offset) last += other;
    }
    const unsigned reach = __ballot_sync(kFullMask, block < before + last);
    if (reach != 0) {
      const int found = __ffs(static_cast<int>(reach)) - 1;
      seq = base + found;
      place = block - before - __shfl_sync(kFullMask, last - own, found);
      return true;
    }
    before += __shfl_sync(kFullMask, last, 31);
  }
  return false;
}

}  // namespace lockstep::cuda
