// Attention of sequences with one query token on the tensor cores, at the rate at which keys and values stream from memory:
// bfloat16 and float16, head_dim a multiple of 8 up to 256. Split over the context (flash decoding; Dao, Haziza, Massa, Sizov
// 2023). Optionally with the rotary embedding and the write to the cache of the sequence's new token.
//
// A warp takes 16 keys at a time of one KV head and the 8 (or 16) query heads that share it, and computes both products
// transposed, so that few heads waste little: scores [16 keys, 8 heads] = K · Qᵀ, then out [D, 8 heads] += Vᵀ · weights. Keys and
// values go from memory straight to registers, 16 bytes a lane: which element of a product's inner dimension a lane holds is
// free as long as both operands agree, and pairs of rows of V become columns by byte permutes. A lane asks for the next keys as
// soon as it has used these; enough warps share a multiprocessor to cover the latency.
#include <algorithm>

#include "kernels/cuda/attention_split.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rope.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kStep = 16;  // keys a warp takes at a time
static_assert(kStep * kWarps == kUnit);
using mma_decode::blocks_per_sm;
using mma_decode::kMaxCutContexts;
using mma_decode::kTileHeads;
using mma_decode::kWaves;
constexpr int kMinUnits = 4;          // a piece for which a block is worth its start and the combining
constexpr int kMaxPieces = 64;        // of a context
constexpr int kShortUnits = 32;       // contexts for which a cluster has few steps to do
constexpr int kInvariantCluster = 4;  // whatever the batch: between one long context and many short ones
constexpr int kAhead = 3;             // steps of a warp that it brings to the L2 before the kernel before has ended

// 16 bytes that are read once.
__device__ __forceinline__ uint4 load_stream(const void* p) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(__cvta_generic_to_global(p)));
  return v;
}
__device__ __forceinline__ void prefetch_l2(const void* p) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(p)));
}
// Transposes an 8 x 8 matrix of 16-bit elements of which a lane holds row lane / 4, columns 2 (lane % 4) and + 1.
__device__ __forceinline__ uint32_t transpose_matrix(uint32_t x) {
  uint32_t y;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

// The keys and values of a step as this lane, g = lane / 4 and q = lane % 4, holds them.
template <int kDim>
struct Rows {
  static constexpr int kKeyChunks = kDim / 32;
  static constexpr int kValueChunks = kDim / 64;
  uint4 k[2][kKeyChunks];    // keys g, g + 8; elements 32 c + 8 q ... + 7
  uint4 v[4][kValueChunks];  // keys 2 q, 2 q + 1, 2 q + 8, 2 q + 9; elements 64 c + 8 g ... + 7
};
__device__ __forceinline__ int value_key(int i, int q) { return 2 * q + i % 2 + i / 2 * 8; }

template <typename T, int kDim, int kHeads>
struct Shared {
  static constexpr int kQueryPitch = kDim + 8;
  static constexpr int kOutPitch = kDim + 4;
  alignas(16) T q[kHeads][kQueryPitch];
  alignas(16) T new_k[kDim];
  alignas(16) T new_v[kDim];
  alignas(16) float out[kWarps][kHeads][kOutPitch];
  float2 stats[kWarps][kHeads];  // maximum and sum
  float2 piece_stats[kHeads];    // of the block
  bool is_last;
};

// kTiles of 8 query heads a block. kWhole: head_dim == kDim. rope.cos_sin == nullptr: q is rotated and the cache complete.
template <typename T, int kDim, int kTiles, bool kWhole>
__global__ void __launch_bounds__(kThreads, blocks_per_sm(kDim, kTiles))
    decode_attention_mma_kernel(AttentionParams p, RopeParams rope, Plan plan) {
  using Step = Rows<kDim>;
  constexpr int kHeads = kTiles * kTileHeads;
  constexpr bool kQueriesInRegisters = kDim <= 128;
  __shared__ Shared<T, kDim, kHeads> shared;

  start_next();
  // The batch is older than the kernels that overlap.
  Piece piece;
  if (!find_piece(p, plan, piece)) {
    wait_for_previous();
    return;
  }
  const int kv_head = piece.kv_tile / plan.tiles;
  const int tile = piece.kv_tile % plan.tiles;
  const QueryHeads heads(p, kv_head);
  const int first_head = heads.first + tile * kHeads;
  const int num_heads = min(kHeads, heads.first + heads.count - first_head);
  const int context_len = piece.context_len;
  const int token = p.max_query_len == 1 ? piece.seq : p.query_start[piece.seq];
  const int dim = p.head_dim;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int g = lane / 4;
  const int q4 = lane % 4;

  // Pieces, and the shares of a cluster's blocks, differ by at most one unit.
  const int rank = static_cast<int>(blockIdx.x) % plan.cluster;
  const int units = units_of(context_len);
  const auto cut = [](int n, int i, int count) {
    return static_cast<int>(static_cast<uint32_t>(n) * static_cast<uint32_t>(i) / static_cast<uint32_t>(count));
  };
  const int first_unit = cut(units, piece.index, piece.count);
  const int piece_units = cut(units, piece.index + 1, piece.count) - first_unit;
  const int begin = (first_unit + cut(piece_units, rank, plan.cluster)) * kUnit;
  const int end = min(context_len, (first_unit + cut(piece_units, rank + 1, plan.cluster)) * kUnit);
  const bool fused = rope.cos_sin != nullptr;
  const int cached = fused ? context_len - 1 : context_len;  // keys that the cache holds already
  const int steps = (end - begin + kStep - 1) / kStep;       // of all warps; a warp takes every kWarps'th

  const auto* table = p.block_tables + p.seq_slot[piece.seq] * p.block_table_stride;
  const auto block_size = static_cast<uint32_t>(p.block_size);
  const auto* k_data = static_cast<const T*>(p.k);
  const auto* v_data = static_cast<const T*>(p.v);
  // Row in the cache of key lane % 16 of a step. Keys past the end repeat the last one: finite, and of no weight.
  const auto find_row = [&](int step) {
    const auto position = static_cast<uint32_t>(max(0, min(begin + step * kStep + lane % kStep, cached - 1)));
    const uint32_t block = position / block_size;
    return (static_cast<uint32_t>(table[block]) * p.kv_heads + kv_head) * block_size + (position - block * block_size);
  };
  // Lanes past head_dim repeat the last elements, against zeros in q.
  const auto key_element = [&](int c) { return kWhole ? 32 * c + 8 * q4 : min(32 * c + 8 * q4, dim - 8); };
  const auto value_element = [&](int c) { return kWhole ? 64 * c + 8 * g : min(64 * c + 8 * g, dim - 8); };
  Step rows;
  const auto load_keys = [&](uint32_t row) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const T* from = k_data + static_cast<int64_t>(__shfl_sync(kFullMask, row, g + 8 * i)) * dim;
#pragma unroll
      for (int c = 0; c < Step::kKeyChunks; ++c) rows.k[i][c] = load_stream(from + key_element(c));
    }
  };
  const auto load_values = [&](uint32_t row) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const T* from = v_data + static_cast<int64_t>(__shfl_sync(kFullMask, row, value_key(i, q4))) * dim;
#pragma unroll
      for (int c = 0; c < Step::kValueChunks; ++c) rows.v[i][c] = load_stream(from + value_element(c));
    }
  };

  uint32_t next_row = 0;
  const auto start_loads = [&] {
    if (warp >= steps) return;
    const uint32_t row = find_row(warp);
    if (warp + kWarps < steps) next_row = find_row(warp + kWarps);
    load_keys(row);
    load_values(row);
  };
  if (fused) {
    // What the cache holds of a sequence with one query token, earlier steps have written.
    start_loads();
    for (int i = 1; plan.ahead && i <= kAhead && warp + i * kWarps < steps; ++i) {
      const int64_t row = static_cast<int64_t>(i == 1 ? next_row : find_row(warp + i * kWarps)) * dim;
      for (int d = lane / kStep * 64; d < dim; d += 128) {
        prefetch_l2(k_data + row + d);
        prefetch_l2(v_data + row + d);
      }
    }
  }
  // The block with the context's last key brings the new token's, and writes them to their row of the cache.
  const bool has_new = fused && begin < end && end == context_len;
  const int64_t place = has_new && tile == 0 ? rope.kv_index[token] : -1;
  const int64_t new_row = place >= 0 ? kv_row(place, kv_head, p.kv_heads, p.block_size) * dim : 0;
  // Zeros beyond the heads and beyond head_dim.
  for (int i = threadIdx.x; i < kHeads * kDim / 8; i += kThreads) {
    const int h = i / (kDim / 8);
    const int d = i % (kDim / 8) * 8;
    if (h >= num_heads || d >= dim) *reinterpret_cast<uint4*>(&shared.q[h][d]) = uint4{};
  }
  if (!kWhole && fused) {
    for (int d = dim + static_cast<int>(threadIdx.x); d < kDim; d += kThreads) {
      shared.new_k[d] = from_float<T>(0.0f);
      shared.new_v[d] = from_float<T>(0.0f);
    }
  }

  wait_for_previous();
  if (!fused) start_loads();
  const T* token_row = static_cast<const T*>(p.q) + token * p.q_stride;
  if (fused) {
    // Half a warp a head; the new key comes after the queries.
    const T* new_k = token_row + static_cast<int64_t>(p.q_heads + kv_head) * dim;
    const T* new_v = new_k + static_cast<int64_t>(p.kv_heads) * dim;
    const float* cos_sin = rope.cos_sin + token * rope.cos_sin_stride;
    for (int h = threadIdx.x / 16; h < max(num_heads, 0) + (has_new ? 1 : 0); h += kThreads / 16) {
      const bool is_key = h >= num_heads;
      const T* x = is_key ? new_k : token_row + static_cast<int64_t>(first_head + h) * dim;
      // Field by field: a choice of the structs would go through local memory.
      const AnyVector norm = {is_key ? rope.k_norm.data : rope.q_norm.data, is_key ? rope.k_norm.dtype : rope.q_norm.dtype};
      norm_rope_head<16, 4>(x, dim, norm, rope.eps, cos_sin, lane % 16, [&](int i, const Vec<T, 4>& low, const Vec<T, 4>& high) {
        T* to = is_key ? shared.new_k : shared.q[h];
        store_vec(to + i, low);
        store_vec(to + dim / 2 + i, high);
        if (is_key && place >= 0) {
          store_vec(static_cast<T*>(rope.k) + new_row + i, low);
          store_vec(static_cast<T*>(rope.k) + new_row + dim / 2 + i, high);
        }
      });
    }
    if (has_new) {
      for (int d = static_cast<int>(threadIdx.x) * 8; d < dim; d += kThreads * 8) {
        const Vec<T, 8> x = load_vec<8>(new_v + d);
        store_vec(shared.new_v + d, x);
        if (place >= 0) store_vec(static_cast<T*>(rope.v) + new_row + d, x);
      }
    }
  } else {
    for (int i = threadIdx.x; i < num_heads * (dim / 8); i += kThreads) {
      const int h = i / (dim / 8);
      const int d = i % (dim / 8) * 8;
      store_vec(&shared.q[h][d], load_vec<8>(token_row + static_cast<int64_t>(first_head + h) * dim + d));
    }
  }
  if (num_heads <= 0) return;
  __syncthreads();

  // B operands of K · Qᵀ: of head g, the elements that this lane holds of the keys.
  const auto query = [&](int t, int c) {
    return *reinterpret_cast<const uint4*>(&shared.q[t * kTileHeads + g][32 * c + 8 * q4]);
  };
  uint4 q_registers[kQueriesInRegisters ? kTiles : 1][kQueriesInRegisters ? Step::kKeyChunks : 1];
  if constexpr (kQueriesInRegisters) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int c = 0; c < Step::kKeyChunks; ++c) q_registers[t][c] = query(t, c);
    }
  }

  // Of heads 2 q and 2 q + 1 of each tile: maximum in use; sum over this lane's keys; out, elements 64 c + 8 g + 2 j and + 1.
  float top[kTiles][2], sum[kTiles][2];
  float acc[kTiles][Step::kValueChunks][4][4] = {};
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    top[t][0] = top[t][1] = -INFINITY;
    sum[t][0] = sum[t][1] = 0.0f;
  }

  for (int step = warp; step < steps; step += kWarps) {
    const int position = begin + step * kStep;
    const bool more = step + kWarps < steps;
    const uint32_t row = next_row;
    if (more && step + 2 * kWarps < steps) next_row = find_row(step + 2 * kWarps);
    if (fused && position + kStep > cached) {  // the new token's come from shared memory
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (position + g + 8 * i < cached) continue;
#pragma unroll
        for (int c = 0; c < Step::kKeyChunks; ++c) rows.k[i][c] = *reinterpret_cast<const uint4*>(&shared.new_k[32 * c + 8 * q4]);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (position + value_key(i, q4) < cached) continue;
#pragma unroll
        for (int c = 0; c < Step::kValueChunks; ++c)
          rows.v[i][c] = *reinterpret_cast<const uint4*>(&shared.new_v[64 * c + 8 * g]);
      }
    }

    float score[kTiles][2][4] = {};  // even and odd chunks apart: two chains of dependent products
#pragma unroll
    for (int c = 0; c < Step::kKeyChunks; ++c) {
      const uint4 k0 = rows.k[0][c];
      const uint4 k1 = rows.k[1][c];
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        uint4 q;
        if constexpr (kQueriesInRegisters) {
          q = q_registers[t][c];
        } else {
          q = query(t, c);
        }
        mma_16x8x16<T>(score[t][0], k0.x, k1.x, k0.y, k1.y, q.x, q.y);
        mma_16x8x16<T>(score[t][1], k0.z, k1.z, k0.w, k1.w, q.z, q.w);
      }
    }
    if (more) load_keys(row);

    uint32_t weights[kTiles][2];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      float s[4];  // [key g, g + 8][head 2 q, 2 q + 1]
#pragma unroll
      for (int i = 0; i < 4; ++i) s[i] = (score[t][0][i] + score[t][1][i]) * p.scale_log2;
      if (position + kStep > context_len) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (position + g + i / 2 * 8 >= context_len) s[i] = -INFINITY;
        }
      }
      float most[2] = {fmaxf(s[0], s[2]), fmaxf(s[1], s[3])};
      if (__any_sync(kFullMask, most[0] > top[t][0] + kTopSlack || most[1] > top[t][1] + kTopSlack)) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
#pragma unroll
          for (int offset = 4; offset < 32; offset *= 2) most[j] = fmaxf(most[j], __shfl_xor_sync(kFullMask, most[j], offset));
          const float new_top = fmaxf(top[t][j], most[j]);  // finite: the step's first key is in the context
          const float correction = exp2_approx(top[t][j] - new_top);
          top[t][j] = new_top;
          sum[t][j] *= correction;
#pragma unroll
          for (int c = 0; c < Step::kValueChunks; ++c) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              acc[t][c][i][j] *= correction;
              acc[t][c][i][2 + j] *= correction;
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        s[i] = exp2_approx(s[i] - top[t][i % 2]);
        sum[t][i % 2] += s[i];
      }
      weights[t][0] = transpose_matrix(pack(s[0], s[1], T()));
      weights[t][1] = transpose_matrix(pack(s[2], s[3], T()));
    }

#pragma unroll
    for (int c = 0; c < Step::kValueChunks; ++c) {
      const auto multiply = [&](int i, uint32_t v0, uint32_t v1, uint32_t v2, uint32_t v3) {
        const uint32_t a0 = __byte_perm(v0, v1, 0x5410);
        const uint32_t a1 = __byte_perm(v0, v1, 0x7632);
        const uint32_t a2 = __byte_perm(v2, v3, 0x5410);
        const uint32_t a3 = __byte_perm(v2, v3, 0x7632);
#pragma unroll
        for (int t = 0; t < kTiles; ++t) mma_16x8x16<T>(acc[t][c][i], a0, a1, a2, a3, weights[t][0], weights[t][1]);
      };
      multiply(0, rows.v[0][c].x, rows.v[1][c].x, rows.v[2][c].x, rows.v[3][c].x);
      multiply(1, rows.v[0][c].y, rows.v[1][c].y, rows.v[2][c].y, rows.v[3][c].y);
      multiply(2, rows.v[0][c].z, rows.v[1][c].z, rows.v[2][c].z, rows.v[3][c].z);
      multiply(3, rows.v[0][c].w, rows.v[1][c].w, rows.v[2][c].w, rows.v[3][c].w);
    }
    if (more) load_values(row);
  }

  // The warps meet.
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
#pragma unroll
      for (int offset = 4; offset < 32; offset *= 2) sum[t][j] += __shfl_xor_sync(kFullMask, sum[t][j], offset);
      const int h = t * kTileHeads + 2 * q4 + j;
      if (g == 0) shared.stats[warp][h] = make_float2(top[t][j], sum[t][j]);
#pragma unroll
      for (int c = 0; c < Step::kValueChunks; ++c) {
        float4* to = reinterpret_cast<float4*>(&shared.out[warp][h][64 * c + 8 * g]);
        to[0] = make_float4(acc[t][c][0][j], acc[t][c][0][2 + j], acc[t][c][1][j], acc[t][c][1][2 + j]);
        to[1] = make_float4(acc[t][c][2][j], acc[t][c][2][2 + j], acc[t][c][3][j], acc[t][c][3][2 + j]);
      }
    }
  }
  __syncthreads();
  T* out = static_cast<T*>(p.out) + token * p.out_stride + static_cast<int64_t>(first_head) * dim;
  const int quads = dim / 4;
  const int piece_place = static_cast<int>(blockIdx.x) / plan.cluster;
  // Takes what the piece gives.
  const auto finish = [&](int h, int d, const Sum4& sum) {
    if (piece.count == 1) {
      sum.store(out + static_cast<int64_t>(h) * dim + d);
    } else {
      const int64_t place = (static_cast<int64_t>(piece_place) * kHeads + h) * (kDim / 4) + d / 4;
      reinterpret_cast<float4*>(plan.out)[place] = sum.value;
      plan.stats[place] = make_float2(sum.top, sum.total);
    }
  };
  for (int i = threadIdx.x; i < num_heads * quads; i += kThreads) {
    const int h = i / quads;
    const int d = i % quads * 4;
    float4 x[kWarps];
    float2 stats[kWarps];
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      stats[w] = shared.stats[w][h];  // of a warp without keys: -infinity and 0
      x[w] = *reinterpret_cast<const float4*>(&shared.out[w][h][d]);
    }
    Sum4 sum;
    sum.add(x, stats, kWarps);
    if (plan.cluster > 1) {
      *reinterpret_cast<float4*>(&shared.out[0][h][d]) = sum.value;
      if (d == 0) shared.piece_stats[h] = make_float2(sum.top, sum.total);
    } else {
      finish(h, d, sum);
    }
  }
  const Share share(plan, rank, num_heads * quads);
  if (plan.cluster > 1) {
    sync_cluster();
    for (int i = share.begin; i < share.end; i += kThreads) {
      finish(i / quads, i % quads * 4,
             sum_cluster(plan, &shared.out[0][i / quads][i % quads * 4], &shared.piece_stats[i / quads]));
    }
    sync_cluster();  // until all have read
  }
  if (piece.count == 1) return;
  // The last of the pieces to arrive sums them all; each block of its cluster a share of the elements.
  __syncthreads();
  uint32_t* arrived =
      plan.arrived + (static_cast<int64_t>(piece.seq) * p.kv_heads * plan.tiles + piece.kv_tile) * plan.cluster + rank;
  if (threadIdx.x == 0) {
    // Releases what the block has written, as its barrier has shown it to this thread, and acquires what the others have.
    __threadfence();
    shared.is_last = atomicAdd(arrived, 1) == static_cast<uint32_t>(piece.count) - 1;
    if (shared.is_last) *arrived = 0;
    __threadfence();
  }
  __syncthreads();
  if (!shared.is_last) return;
  for (int i = share.begin; i < share.end; i += kThreads) {
    const int h = i / quads;
    const int d = i % quads * 4;
    sum_pieces<kDim, kHeads>(plan, piece, piece_place - piece.index, h, d).store(out + static_cast<int64_t>(h) * dim + d);
  }
}

template <typename T, int kDim, int kTiles, bool kWhole>
void launch(const Launch& to, const AttentionParams& p, const RopeParams& rope) {
  constexpr int kHeads = kTiles * kTileHeads;
  Plan plan = {};
  plan.tiles = static_cast<int32_t>(divide_up(p.max_heads_per_kv(), kHeads));
  const int64_t contexts = static_cast<int64_t>(p.num_seqs) * p.kv_heads * plan.tiles;
  const int64_t slots = static_cast<int64_t>(to.sm_count) * blocks_per_sm(kDim, kTiles);  // blocks that run at a time
  const int64_t max_units = divide_up(p.max_context_len, kUnit);
  // Where contexts are short, or few, blocks for which there is room share one.
  plan.cluster = 1;
  if (to.batch_invariant) {
    plan.cluster = to.hopper ? kInvariantCluster : 1;
  } else if (to.hopper && (max_units <= kShortUnits || contexts * 2 * kMaxCluster <= slots)) {
    const int64_t room = max_units <= kMinUnits ? to.sm_count : slots;
    while (plan.cluster < kMaxCluster && plan.cluster < max_units && contexts * plan.cluster * 2 <= room) plan.cluster *= 2;
  }
  // Contexts are cut where there are few, or one is much longer than the others; several waves of blocks even out their lengths.
  const int64_t cluster_slots = slots / plan.cluster;
  const bool one_wave = contexts <= cluster_slots;
  const int64_t target = one_wave ? std::max(cluster_slots - contexts, cluster_slots / 2) : kWaves * cluster_slots;
  const int64_t min_units =
      std::max<int64_t>({one_wave ? kMinUnits : 2 * kMinUnits, kMinUnits / 2 * plan.cluster, divide_up(max_units, kMaxPieces)});
  plan.min_units = static_cast<int32_t>(min_units);
  plan.target = static_cast<int32_t>(target);
  plan.whole = to.batch_invariant || max_units <= min_units || contexts > kMaxCutContexts * cluster_slots ||
               contexts * plan.cluster > static_cast<int64_t>(kCounters);
  const int64_t pieces = plan.whole ? contexts : std::min(contexts + target, contexts * divide_up(max_units, min_units));
  plan.ahead = pieces * plan.cluster <= slots;
  plan.arrived = to.counters;
  plan.out = static_cast<float*>(to.scratch);
  plan.stats = reinterpret_cast<float2*>(plan.out + pieces * kHeads * kDim);
  launch_clusters(to, ClusterSize{static_cast<unsigned>(plan.cluster)}, decode_attention_mma_kernel<T, kDim, kTiles, kWhole>,
                  dim3(static_cast<unsigned>(pieces * plan.cluster)), dim3(kThreads), 0, p, rope, plan);
}

template <typename T, int kDim, bool kWhole>
void launch_for_heads(const Launch& to, const AttentionParams& p, const RopeParams& rope) {
  if constexpr (kDim <= 128) {
    if (p.max_heads_per_kv() > kTileHeads) {
      launch<T, kDim, 2, kWhole>(to, p, rope);
      return;
    }
  }
  launch<T, kDim, 1, kWhole>(to, p, rope);
}

template <typename T>
void launch_for_dim(const Launch& to, const AttentionParams& p, const RopeParams& rope) {
  if (p.head_dim == 64) {
    launch_for_heads<T, 64, true>(to, p, rope);
  } else if (p.head_dim < 64) {
    launch_for_heads<T, 64, false>(to, p, rope);
  } else if (p.head_dim == 128) {
    launch_for_heads<T, 128, true>(to, p, rope);
  } else if (p.head_dim < 128) {
    launch_for_heads<T, 128, false>(to, p, rope);
  } else if (p.head_dim == 256) {
    launch_for_heads<T, 256, true>(to, p, rope);
  } else {
    launch_for_heads<T, 256, false>(to, p, rope);
  }
}

}  // namespace

bool decode_mma_supports(const AttentionParams& p, const RopeParams& rope) {
  return aligned_to(rope.cos_sin, 16) && rope.cos_sin_stride % 4 == 0 && size_of(p.dtype) == 2 && p.head_dim % 8 == 0 &&
         p.head_dim <= 256 && p.q_stride % 8 == 0 && aligned_to(p.q, 16) && aligned_to(p.k, 16) && aligned_to(p.v, 16) &&
         p.out_stride % 4 == 0 && aligned_to(p.out, 8);
}

void launch_decode_mma(const Launch& to, const AttentionParams& p, const RopeParams& rope) {
  if (p.dtype == DType::kBFloat16) {
    launch_for_dim<bf16>(to, p, rope);
  } else {
    launch_for_dim<f16>(to, p, rope);
  }
  check_launch("attention (decode)");
}

}  // namespace lockstep::cuda
