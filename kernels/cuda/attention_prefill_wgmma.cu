// Causal attention over the paged context for sequences with many query tokens, on Hopper: after FlashAttention-3 (Shah,
// Bikshandi, Zhang, Thakkar, Ramani, Dao 2024). bfloat16 and float16.
//
// One block a multiprocessor, which takes work after work, the long before the short: one KV head of one sequence and a run of
// query tokens, all query heads of the group. Row i is token i / n, head i % n, so that what is loaded serves n heads; up to 128
// rows. Producer warps have the copy engine fill rings of tiles of keys and of values, page by page; two warpgroups of 64 rows
// each multiply. Each computes the scores of the next tile (wgmma, in the background) while it weighs the values of this one, and
// they take turns, so that one's softmax runs under the other's products. The tiles are walked from the last to the first: those
// that need a mask come first.
#include <algorithm>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kGroups = 2;         // consumer warpgroups
constexpr int kRowsPerGroup = 64;  // of one wgmma
constexpr int kRows = kGroups * kRowsPerGroup;
constexpr int kConsumers = 128 * kGroups;
constexpr int kThreads = 128 + kConsumers;
[[maybe_unused]] constexpr int kConsumerWarps = kConsumers / 32;
constexpr int kMaxStages = 3;
constexpr int kRowBytes = 2 * kSlabColumns;
constexpr int kMaxHeads = 32;    // query heads of a KV head: 128 rows would hold too few tokens
constexpr int kMinPageRows = 8;  // the swizzle repeats every 8 rows

template <int kDim>
struct Tiles {
  static constexpr int kSlabs = (kDim + kSlabColumns - 1) / kSlabColumns;
  static constexpr int kKeys = kDim <= 128 ? 128 : 64;
  static constexpr int kQueryBytes = kSlabs * kRows * kRowBytes;
  static constexpr int kTileBytes = kSlabs * kKeys * kRowBytes;
  static constexpr int kStages = kDim <= 128 ? 3 : 2;                           // of keys, and of values
  static constexpr int kBytes = kQueryBytes + 2 * kStages * kTileBytes + 1024;  // and alignment
};

// [slab][row][64 elements], swizzled.
template <int kDim>
struct Memory {
  unsigned char* q;
  unsigned char* k;  // [stage]
  unsigned char* v;
  __device__ explicit Memory(unsigned char* base)
      : q(base), k(base + Tiles<kDim>::kQueryBytes), v(k + Tiles<kDim>::kStages * Tiles<kDim>::kTileBytes) {}
};

struct Barriers {
  uint64_t work_full[2], work_empty[2];
  uint64_t q_full, q_empty;
  uint64_t k_full[kMaxStages], v_full[kMaxStages];
  uint64_t k_empty[kMaxStages], v_empty[kMaxStages];
};

// The maps by which the copy engine sees q [T, Hq, D] and the caches [num_blocks, Hkv, block_size, D].
struct Maps {
  CUtensorMap q, k, v;
};

struct Shape {
  int32_t heads;      // rows a token: query heads of a KV head, at most
  int32_t tokens;     // query tokens a work
  int32_t page_rows;  // keys a box
  int32_t works;      // at most
  bool skip_single;
  uint32_t* next_work;  // zero before and after
};

// One KV head and a run of query tokens of one sequence.
struct Work {
  int seq, kv_head;
  int first_token;     // of the step: the run's first
  int tokens;          // of the run; 0: there is no more work
  int first_position;  // in the context, of the run's first token
  int end;             // keys that its last token sees
};

// The works of a sequence lie together, those with the longest contexts first. False: there is no such work.
[[maybe_unused]] __device__ __forceinline__ bool find_work(const AttentionParams& p, const Shape& shape, int number, Work& work) {
  const auto query_len = [&](int s) { return p.query_start[s + 1] - p.query_start[s]; };
  const auto tiles_of = [&](int s) {
    const int length = query_len(s);
    return length <= 0 || (shape.skip_single && length == 1) ? 0 : (length + shape.tokens - 1) / shape.tokens;
  };
  const auto works_of = [&](int s) { return tiles_of(s) * p.kv_heads; };
  int place;
  if (!find_sequence(p.num_seqs, number, works_of, work.seq, place)) return false;
  const int tile = tiles_of(work.seq) - 1 - place / p.kv_heads;
  const int length = query_len(work.seq);
  work.kv_head = place % p.kv_heads;
  work.first_token = p.query_start[work.seq] + tile * shape.tokens;
  work.tokens = min(shape.tokens, length - tile * shape.tokens);
  work.first_position = p.context_len[work.seq] - length + tile * shape.tokens;
  work.end = work.first_position + work.tokens;
  return true;
}

// One warp: takes the next work for the block, tells the others, and brings its queries.
template <int kDim>
__device__ void produce_queries(const AttentionParams& p, const CUtensorMap& map, const Shape& shape, const Memory<kDim>& memory,
                                Barriers& barriers, Work (&works)[2]) {
  const int lane = threadIdx.x % 32;
  const auto number_of_works = static_cast<uint32_t>(shape.works);
  for (int round = 0;; ++round) {
    Work work = {};
    bool found = false;
    while (!found) {
      // Every work is taken once, and every block asks once too often: then the counter is zero again.
      uint32_t number = lane == 0 ? atomicInc(shape.next_work, number_of_works + gridDim.x - 1) : 0;
      number = __shfl_sync(kFullMask, number, 0);
      if (number >= number_of_works) break;
      found = find_work(p, shape, static_cast<int>(number), work);
    }
    const int slot = round % 2;
    if (lane == 0) {
      barrier_wait(&barriers.work_empty[slot], round / 2 % 2 ^ 1);
      works[slot] = work;
      barrier_arrive(&barriers.work_full[slot]);
    }
    if (!found) return;
    if (lane == 0) {
      barrier_wait(&barriers.q_empty, round % 2 ^ 1);
      barrier_arrive_expect(&barriers.q_full,
                            static_cast<uint32_t>(shape.heads * shape.tokens * kRowBytes * Tiles<kDim>::kSlabs));
      const int first_head = QueryHeads(p, work.kv_head).first;
      for (int slab = 0; slab < Tiles<kDim>::kSlabs; ++slab) {
        tma_load(memory.q + slab * kRows * kRowBytes, map, &barriers.q_full, slab * kSlabColumns, first_head, work.first_token, 0,
                 L2Policy::kEvictFirst);
      }
    }
    __syncwarp();
  }
}

// What the block does in this round; tokens == 0: nothing any more. The whole warp calls.
[[maybe_unused]] __device__ __forceinline__ Work next_work(Barriers& barriers, const Work (&works)[2], int round) {
  const int slot = round % 2;
  barrier_wait(&barriers.work_full[slot], round / 2 % 2);
  Work work = works[slot];
  // Told to the compiler to be the same in all lanes: it refuses to overlap wgmma in what may diverge.
  for (int* field : {&work.seq, &work.kv_head, &work.first_token, &work.tokens, &work.first_position, &work.end}) {
    *field = __shfl_sync(kFullMask, *field, 0);
  }
  if (threadIdx.x % 32 == 0) barrier_arrive(&barriers.work_empty[slot]);
  return work;
}

// One warp: fills the ring of keys (kValues: of values), tile after tile from the last of each work.
template <int kDim, bool kValues>
__device__ void produce(const AttentionParams& p, const CUtensorMap& map, const Shape& shape, const Memory<kDim>& memory,
                        Barriers& barriers, const Work (&works)[2]) {
  using Tile = Tiles<kDim>;
  constexpr int kStages = Tile::kStages;
  const int lane = threadIdx.x % 32;
  const int pages_per_tile = Tile::kKeys / shape.page_rows;  // at most 16: a lane each
  unsigned char* ring = kValues ? memory.v : memory.k;
  uint64_t* full = kValues ? barriers.v_full : barriers.k_full;
  uint64_t* empty = kValues ? barriers.v_empty : barriers.k_empty;
  RingPlace<kStages> place;
  for (int round = 0;; ++round) {
    const Work work = next_work(barriers, works, round);
    if (work.tokens == 0) return;
    const int tiles = (work.end + Tile::kKeys - 1) / Tile::kKeys;
    const int32_t* table = p.block_tables + p.seq_slot[work.seq] * p.block_table_stride;
    // Of this lane's page of a tile: its block and the row in it; -1: the tile does not reach it.
    const auto find_page = [&](int tile, int& row) {
      const int position = tile * Tile::kKeys + lane * shape.page_rows;
      row = position % p.block_size;
      return tile >= 0 && lane < pages_per_tile && position < work.end ? table[position / p.block_size] : -1;
    };
    int row;
    int block = find_page(tiles - 1, row);
    for (int tile = tiles - 1; tile >= 0; --tile) {
      int next_row;
      const int next_block = find_page(tile - 1, next_row);
      const unsigned loading = __ballot_sync(kFullMask, block >= 0);
      barrier_wait(&empty[place.stage], place.parity ^ 1);
      if (lane == 0) {
        barrier_arrive_expect(&full[place.stage],
                              static_cast<uint32_t>(__popc(loading) * shape.page_rows * kRowBytes * Tile::kSlabs));
      }
      __syncwarp();
      if (block >= 0) {
        unsigned char* to = ring + place.stage * Tile::kTileBytes + lane * shape.page_rows * kRowBytes;
#pragma unroll
        for (int slab = 0; slab < Tile::kSlabs; ++slab) {
          tma_load(to + slab * Tile::kKeys * kRowBytes, map, &full[place.stage], slab * kSlabColumns, row, work.kv_head, block,
                   L2Policy::kEvictLast);
        }
      }
      place.advance();
      block = next_block;
      row = next_row;
    }
  }
}

// A warpgroup with its 64 rows. A thread holds of its rows lane / 4 and + 8 (of its warp's 16) the columns 8 j + 2 (lane % 4)
// and + 1.
template <typename T, int kDim>
struct Consumer {
  using Tile = Tiles<kDim>;
  static constexpr int kKeys = Tile::kKeys;
  static constexpr int kScores = kKeys / 2;
  static constexpr int kOuts = kDim / 2;

  float score[kScores];
  float out[kOuts];
  uint32_t weights[kKeys / 16][4];  // the A operand of the second product
  float top[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};  // of this thread's columns
  float correction[2];

  // score = q · kᵀ, in the background.
  __device__ __forceinline__ void multiply_keys(uint64_t q, uint64_t k) {
#pragma unroll
    for (int s = 0; s < kDim / 16; ++s) {
      const int within = s % 4 * (32 >> 4);
      Wgmma<T, kKeys>::run(score, q + (s / 4 * (kRows * kRowBytes >> 4) + within),
                           k + (s / 4 * (kKeys * kRowBytes >> 4) + within), s == 0 ? 0 : 1);
    }
    wgmma_commit();
  }
  // out += weights · v, in the background.
  __device__ __forceinline__ void multiply_values(uint64_t v, int keep) {
#pragma unroll
    for (int s = 0; s < kKeys / 16; ++s)
      Wgmma<T, kDim, 1>::run(out, weights[s], v + s * (16 * kRowBytes >> 4), s == 0 ? keep : 1);
    wgmma_commit();
  }

  // first_key: of the tile; position: the last key that each row sees.
  __device__ __forceinline__ void mask(int first_key, const int (&position)[2]) {
    const int column = first_key + static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
    for (int i = 0; i < kScores; ++i) {
      if (column + i / 4 * 8 + i % 2 > position[i / 2 % 2]) score[i] = -INFINITY;
    }
  }

  // score becomes weights (as floats); correction: what `out` is to be scaled by.
  __device__ __forceinline__ void softmax(float scale_log2) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = score[2 * half];
#pragma unroll
      for (int i = 0; i < kScores; ++i) {
        if (i / 2 % 2 == half) most = fmaxf(most, score[i]);
      }
      most = fmaxf(most, __shfl_xor_sync(kFullMask, most, 1));
      most = fmaxf(most, __shfl_xor_sync(kFullMask, most, 2));
      most *= scale_log2;
      const bool raise = most > top[half] + kTopSlack;
      correction[half] = raise ? exp2_approx(top[half] - most) : 1.0f;
      top[half] = raise ? most : top[half];
      const float reference = top[half] == -INFINITY ? 0.0f : top[half];  // no key yet: all weights are 0, not NaN
      float total = 0.0f;
#pragma unroll
      for (int i = 0; i < kScores; ++i) {
        if (i / 2 % 2 != half) continue;
        score[i] = exp2_approx(score[i] * scale_log2 - reference);
        total += score[i];
      }
      sum[half] = sum[half] * correction[half] + total;
    }
  }
  __device__ __forceinline__ void rescale() {
    if (!__any_sync(kFullMask, correction[0] != 1.0f || correction[1] != 1.0f)) return;
#pragma unroll
    for (int i = 0; i < kOuts; ++i) out[i] *= correction[i / 2 % 2];
  }
  __device__ __forceinline__ void pack_weights() {
#pragma unroll
    for (int s = 0; s < kKeys / 16; ++s) {
#pragma unroll
      for (int i = 0; i < 4; ++i) weights[s][i] = pack(score[8 * s + 2 * i], score[8 * s + 2 * i + 1], T());
    }
  }
};

// Named barriers of the consumers.
[[maybe_unused]] constexpr int kTurnBarrier = 1;  // and + 1: whose turn it is
[[maybe_unused]] constexpr int kBothBarrier = 3;

// The rows of a tile of values from `first` on become zeros: nothing has written them, and NaN times a weight of 0 is NaN.
template <int kDim>
__device__ __forceinline__ void clear_rows(unsigned char* tile, int first) {
  constexpr int kKeys = Tiles<kDim>::kKeys;
  constexpr int kPieces = kRowBytes / 16;
  const int consumer = static_cast<int>(threadIdx.x) - 128;
  for (int i = consumer; i < (kKeys - first) * kPieces * Tiles<kDim>::kSlabs; i += kConsumers) {
    const int slab = i / ((kKeys - first) * kPieces);
    const int within = i % ((kKeys - first) * kPieces);
    *reinterpret_cast<uint4*>(tile + (slab * kKeys + first) * kRowBytes + within * 16) = uint4{};
  }
  fence_async_proxy();
  named_barrier(kBothBarrier, kConsumers);
}

// One work of a consumer warpgroup.
template <typename T, int kDim>
__device__ __forceinline__ void consume(const AttentionParams& p, const Shape& shape, const Work& work, int group,
                                        const Memory<kDim>& memory, Barriers& barriers, RingPlace<Tiles<kDim>::kStages>& k_place,
                                        RingPlace<Tiles<kDim>::kStages>& v_place) {
  using Tile = Tiles<kDim>;
  const QueryHeads heads(p, work.kv_head);
  const int lane = threadIdx.x % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
  const int first_row = group * kRowsPerGroup + warp * 16 + lane / 4;
  const int tiles = (work.end + Tile::kKeys - 1) / Tile::kKeys;
  const int position[2] = {work.first_position + min(first_row / shape.heads, work.tokens - 1),
                           work.first_position + min((first_row + 8) / shape.heads, work.tokens - 1)};
  const int open_tiles = (work.first_position + 1) / Tile::kKeys;  // the first ones: every row sees them whole

  const uint64_t q = smem_descriptor(shared_address(memory.q + group * kRowsPerGroup * kRowBytes));
  const uint64_t k = smem_descriptor(shared_address(memory.k));
  const uint64_t v = smem_descriptor(shared_address(memory.v), Tile::kKeys * kRowBytes);
  constexpr int kTileStep = Tile::kTileBytes >> 4;
  const auto release = [&](uint64_t* empty) {
    if (lane == 0) barrier_arrive(empty);
  };
  Consumer<T, kDim> c;

  barrier_wait(&barriers.k_full[k_place.stage], k_place.parity);
  wgmma_fence();
  c.multiply_keys(q, k + k_place.stage * kTileStep);
  wgmma_wait<0>();
  wgmma_hold(c.score);
  release(&barriers.k_empty[k_place.stage]);
  k_place.advance();
  c.mask((tiles - 1) * Tile::kKeys, position);
  c.softmax(p.scale_log2);
  c.pack_weights();
  const int used = work.end - (tiles - 1) * Tile::kKeys;
  if (used < Tile::kKeys) {
    barrier_wait(&barriers.v_full[v_place.stage], v_place.parity);
    clear_rows<kDim>(memory.v + v_place.stage * Tile::kTileBytes, used);
  }

  for (int tile = tiles - 2; tile >= 0; --tile) {
    barrier_wait(&barriers.k_full[k_place.stage], k_place.parity);
    named_barrier(kTurnBarrier + group, kConsumers);
    wgmma_fence();
    c.multiply_keys(q, k + k_place.stage * kTileStep);
    barrier_wait(&barriers.v_full[v_place.stage], v_place.parity);
    wgmma_fence();
    c.multiply_values(v + v_place.stage * kTileStep, tile == tiles - 2 ? 0 : 1);
    named_barrier_arrive(kTurnBarrier + 1 - group, kConsumers);
    wgmma_wait<1>();
    wgmma_hold(c.score);
    release(&barriers.k_empty[k_place.stage]);
    k_place.advance();
    if (tile >= open_tiles) c.mask(tile * Tile::kKeys, position);
    c.softmax(p.scale_log2);
    wgmma_wait<0>();
    wgmma_hold(c.out);
    release(&barriers.v_empty[v_place.stage]);
    v_place.advance();
    c.rescale();
    c.pack_weights();
  }
  release(&barriers.q_empty);
  barrier_wait(&barriers.v_full[v_place.stage], v_place.parity);
  wgmma_fence();
  c.multiply_values(v + v_place.stage * kTileStep, tiles == 1 ? 0 : 1);
  wgmma_wait<0>();
  wgmma_hold(c.out);
  release(&barriers.v_empty[v_place.stage]);
  v_place.advance();

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = c.sum[half];
    total += __shfl_xor_sync(kFullMask, total, 1);
    total += __shfl_xor_sync(kFullMask, total, 2);
    const int row = first_row + 8 * half;
    const int token = row / shape.heads;
    const int head = row % shape.heads;
    if (token >= work.tokens || head >= heads.count) continue;
    T* to = static_cast<T*>(p.out) + (work.first_token + token) * p.out_stride +
            static_cast<int64_t>(heads.first + head) * p.head_dim;
    const float inverse = 1.0f / total;
#pragma unroll
    for (int j = 0; j < kDim / 8; ++j) {
      const int d = j * 8 + lane % 4 * 2;
      if (d < p.head_dim)
        *reinterpret_cast<uint32_t*>(to + d) =
            pack(c.out[4 * j + 2 * half] * inverse, c.out[4 * j + 2 * half + 1] * inverse, T());
    }
  }
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    prefill_attention_wgmma_kernel(AttentionParams p, const __grid_constant__ Maps maps, Shape shape) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char prefill_shared[];
  __shared__ Barriers barriers;
  __shared__ Work works[2];  // in turns
  start_next();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      barrier_init(&barriers.work_full[i], 1);
      barrier_init(&barriers.work_empty[i], kConsumerWarps + 2);
    }
    barrier_init(&barriers.q_full, 1);
    barrier_init(&barriers.q_empty, kConsumerWarps);
    for (int i = 0; i < kMaxStages; ++i) {
      barrier_init(&barriers.k_full[i], 1);
      barrier_init(&barriers.v_full[i], 1);
      barrier_init(&barriers.k_empty[i], kConsumerWarps);
      barrier_init(&barriers.v_empty[i], kConsumerWarps);
    }
    barrier_init_fence();
    tma_prefetch_map(maps.q);
    tma_prefetch_map(maps.k);
    tma_prefetch_map(maps.v);
  }
  __syncthreads();
  wait_for_previous();
  const Memory<kDim> memory(prefill_shared + (1024 - shared_address(prefill_shared) % 1024) % 1024);
  if (threadIdx.x < 128) {
    give_registers<40>();
    const int warp = __shfl_sync(kFullMask, static_cast<int>(threadIdx.x) / 32, 0);
    if (warp == 0) {
      produce<kDim, false>(p, maps.k, shape, memory, barriers, works);
    } else if (warp == 1) {
      produce<kDim, true>(p, maps.v, shape, memory, barriers, works);
    } else if (warp == 2) {
      produce_queries(p, maps.q, shape, memory, barriers, works);
    }
  } else {
    take_registers<232>();
    const int group = __shfl_sync(kFullMask, static_cast<int>(threadIdx.x) / 128, 0) - 1;
    if (group == 1) named_barrier_arrive(kTurnBarrier, kConsumers);  // the first turn is group 0's
    RingPlace<Tiles<kDim>::kStages> k_place, v_place;
    for (int round = 0;; ++round) {
      const Work work = next_work(barriers, works, round);
      if (work.tokens == 0) return;
      barrier_wait(&barriers.q_full, round % 2);
      consume<T, kDim>(p, shape, work, group, memory, barriers, k_place, v_place);
    }
  }
#endif
}

template <typename T, int kDim>
void launch(const Launch& to, const AttentionParams& p, bool skip_single) {
  using Tile = Tiles<kDim>;
  static const cudaError_t raised =
      cudaFuncSetAttribute(prefill_attention_wgmma_kernel<T, kDim>, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::kBytes);
  check_cuda(raised, "attention (prefill): shared memory");
  Shape shape;
  shape.heads = p.max_heads_per_kv();
  shape.tokens = kRows / shape.heads;
  shape.page_rows = std::min(p.block_size, Tile::kKeys);
  const auto dim = static_cast<uint64_t>(p.head_dim);
  const auto kv_heads = static_cast<uint64_t>(p.kv_heads);
  const auto block_size = static_cast<uint64_t>(p.block_size);
  const uint64_t row_bytes = dim * 2;
  const uint64_t token_bytes = static_cast<uint64_t>(p.q_stride) * 2;
  const uint64_t page_bytes = block_size * row_bytes;
  Maps maps;
  maps.q = make_tensor_map(p.dtype, p.q, {dim, static_cast<uint64_t>(p.q_heads), static_cast<uint64_t>(p.num_tokens), 1},
                           {row_bytes, token_bytes, token_bytes * static_cast<uint64_t>(p.num_tokens)},
                           {kSlabColumns, static_cast<uint32_t>(shape.heads), static_cast<uint32_t>(shape.tokens), 1});
  const auto cache_map = [&](const void* data) {
    return make_tensor_map(p.dtype, data, {dim, block_size, kv_heads, static_cast<uint64_t>(p.num_blocks)},
                           {row_bytes, page_bytes, page_bytes * kv_heads},
                           {kSlabColumns, static_cast<uint32_t>(shape.page_rows), 1, 1});
  };
  maps.k = cache_map(p.k);
  maps.v = cache_map(p.v);
  const int64_t runs =
      std::min<int64_t>(p.num_seqs * divide_up(p.max_query_len, shape.tokens), p.num_tokens / shape.tokens + p.num_seqs);
  shape.works = static_cast<int32_t>(runs * p.kv_heads);
  shape.skip_single = skip_single;
  shape.next_work = to.counters;
  launch_kernel(to, prefill_attention_wgmma_kernel<T, kDim>, dim3(static_cast<unsigned>(std::min(shape.works, to.sm_count))),
                dim3(kThreads), Tile::kBytes, p, maps, shape);
}

template <typename T>
void launch_for_dim(const Launch& to, const AttentionParams& p, bool skip_single) {
  if (p.head_dim <= 64) {
    launch<T, 64>(to, p, skip_single);
  } else if (p.head_dim <= 80) {
    launch<T, 80>(to, p, skip_single);
  } else if (p.head_dim <= 96) {
    launch<T, 96>(to, p, skip_single);
  } else if (p.head_dim <= 128) {
    launch<T, 128>(to, p, skip_single);
  } else {
    launch<T, 256>(to, p, skip_single);
  }
}

}  // namespace

bool prefill_wgmma_supports(const Launch& to, const AttentionParams& p) {
  // A tile of 128 (or 64) keys is whole pages, or a page whole tiles, in either case.
  const bool pages = p.block_size % 128 == 0 || (p.block_size >= kMinPageRows && 64 % p.block_size == 0);
  return to.hopper && pages && size_of(p.dtype) == 2 && p.head_dim % 8 == 0 && p.head_dim <= 256 &&
         p.max_heads_per_kv() <= kMaxHeads && p.q_stride % 8 == 0 && aligned_to(p.q, 16) && aligned_to(p.k, 16) &&
         aligned_to(p.v, 16) && p.out_stride % 2 == 0 && aligned_to(p.out, 4) && p.num_blocks > 0;
}

void launch_prefill_wgmma(const Launch& to, const AttentionParams& p, bool skip_single) {
  if (p.dtype == DType::kBFloat16) {
    launch_for_dim<bf16>(to, p, skip_single);
  } else {
    launch_for_dim<f16>(to, p, skip_single);
  }
  check_launch("attention (prefill)");
}

}  // namespace lockstep::cuda
