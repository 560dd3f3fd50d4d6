// linear, and the gated pair of them, for many rows of 16-bit x on sm_90: as fast as the tensor cores multiply.
//
// As in linear_stream.cu the tensor cores compute outᵀ = w · xᵀ. A tile is 128 rows of w, 64 for each of two warpgroups, by up to
// 256 tokens. The blocks of a cluster have neighbouring rows of w and the same tokens; each brings a part of x to all of them,
// since every block for itself would ask the L2 for more than it can give. For the gated pair the rows of w are taken as 8 of
// gate, the 8 of up that belong to them, and so on, so that wgmma leaves both in one thread.
//
// Where the tiles do not come out even, the last ones are split: several blocks of a cluster have a part of K each, and each adds
// up the sums of all for a part of the tokens, in the order of K.
#include <algorithm>
#include <type_traits>

#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/linear_tile.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kGroupRows = 64;  // of w, a warpgroup
constexpr int kGroups = 2;
constexpr int kTileRows = kGroups * kGroupRows;
constexpr int kGroupThreads = 128;
constexpr int kConsumers = kGroups * kGroupThreads;
constexpr int kThreads = kConsumers + kGroupThreads;  // the last warpgroup has the copy engine fill the ring
constexpr int kProducerRegisters = 40;
constexpr int kConsumerRegisters = 232;
constexpr int kRowBytes = 2 * kSlabColumns;
constexpr int kWBytes = kTileRows * kRowBytes;  // of a stage
constexpr int kSharedBytes = 220 << 10;
constexpr int kBand = 8;                                       // token tiles that pass over w together, so that the L2 keeps both
constexpr int kChunk = 32;                                     // tokens stored at a time
constexpr int kPad = 8;                                        // 16-bit elements that spread the rows of a chunk over the banks
constexpr int kChunkBytes = kChunk * (kGroupRows + kPad) * 2;  // or half as many tokens in float32
constexpr int64_t kMaxPlainTokens = 128;                       // for more, cuBLASLt is faster where there is no gate
constexpr int kStagingBytes = kGroups * 2 * kChunkBytes;

struct TileParams {
  void* out;
  int64_t out_stride;
  bool float_out;
  bool vectors;  // rows of out are aligned to 16 bytes
  AnyVector bias;
  int32_t tokens;    // M
  int32_t features;  // of out
  int32_t tiles, token_tiles;
  int32_t groups;        // of neighbouring tiles, one for each block of a cluster
  int32_t whole_rounds;  // after which tiles are split
  int32_t slabs;         // of K, 64 elements each: the stages of a tile
  int32_t split;         // parts of K of a split tile: 1, none; 2 or 4
  int32_t part_slabs;    // of them
};

// kTokens rows of x by 128 rows of w, in clusters of kCluster blocks.
template <int kTokens_, bool kGated_, int kCluster_>
struct Tile {
  static constexpr int kTokens = kTokens_, kCluster = kCluster_;
  static constexpr bool kGated = kGated_;
  static constexpr int kPieces = kGated ? 2 : 1;
  static constexpr int kFeatures = kTileRows / kPieces;        // of out
  static constexpr int kGroupFeatures = kGroupRows / kPieces;  // of a warpgroup
  static constexpr int kBoxTokens = kTokens / kCluster;        // of x, of one copy
  static constexpr int kBoxBytes = kBoxTokens * kRowBytes;
  static constexpr int kStageBytes = kWBytes + kTokens * kRowBytes;
  static constexpr int kStages = (kSharedBytes - kStagingBytes - 1024) / kStageBytes;
  static constexpr int kCount = kTokens / 2;  // results a thread
  static constexpr int kMaxSplit = kTokens % (4 * kChunk) == 0 && kCluster >= 4 ? 4 : 2;
  static_assert(kBoxTokens % 8 == 0 && kTokens / kMaxSplit % kChunk == 0);
  static_assert(kCount * kConsumers * sizeof(float) <= kStages * kStageBytes, "the parts of a split tile fit the ring");
};

// What a block does in a round: a tile and stages of K; those past the end of K are zeros. The blocks of a cluster have as many.
template <typename S>
struct Work {
  int tile, token, begin, end;  // of w; first of x; slabs
  int split;                    // blocks of the cluster that have a part of this tile
  int part, peer;               // this one's; and its place among those that have the same part of other tiles

  // False: nothing.
  __device__ bool find(const TileParams& p, int round) {
    const int cluster = static_cast<int>(blockIdx.x) / S::kCluster;
    const int clusters = static_cast<int>(gridDim.x) / S::kCluster;
    const int rank = static_cast<int>(blockIdx.x) % S::kCluster;
    split = round == p.whole_rounds ? p.split : 1;
    const int unit = round * clusters + cluster / split;
    if (round > p.whole_rounds || (round == p.whole_rounds && p.split == 1) || unit >= p.groups * p.token_tiles) return false;
    const int peers = S::kCluster / split;
    part = rank / peers;
    peer = rank % peers;
    // Units go along the tokens of a band first, then along the rows of w, then to the next band.
    const int band = unit / (kBand * p.groups);
    const int width = min(kBand, p.token_tiles - band * kBand);
    const int place = unit - band * kBand * p.groups;
    token = (band * kBand + place % width) * S::kTokens;
    tile = place / width * S::kCluster + cluster % split * peers + peer;
    begin = split > 1 ? part * p.part_slabs : 0;
    end = split > 1 ? begin + p.part_slabs : p.slabs;
    return true;
  }
  // The blocks of the cluster that have the same tokens and part of K, as bits.
  __device__ uint16_t peers() const {
    const int count = S::kCluster / split;
    return static_cast<uint16_t>(((1 << count) - 1) << (part * count));
  }
};

// The stages of a block in the order of their loads.
template <typename S>
struct Walk {
  Work<S> work;
  int round = 0;
  int slab = 0;
  bool more;

  __device__ explicit Walk(const TileParams& p) { enter(p); }
  __device__ void enter(const TileParams& p) {
    more = work.find(p, round++);
    slab = work.begin;
  }
  __device__ void advance(const TileParams& p) {
    if (++slab == work.end) enter(p);
  }
};

template <typename S>
__device__ void produce(const TileParams& p, const CUtensorMap& w, const CUtensorMap& x, unsigned char* ring, uint64_t* full,
                        uint64_t* empty) {
  const bool once = p.token_tiles == 1;  // w passes once, x stays
  const L2Policy w_policy = once ? L2Policy::kEvictFirst : L2Policy::kNormal;
  const L2Policy x_policy = once ? L2Policy::kEvictLast : L2Policy::kNormal;
  const auto load_w = [&](const Walk<S>& walk, int stage) {
    barrier_arrive_expect(&full[stage], S::kStageBytes);
    const int column = walk.slab * kSlabColumns;
    if constexpr (S::kGated) {
      tma_load(ring + stage * S::kStageBytes, w, &full[stage], column, 0, 0, walk.work.tile * (S::kFeatures / 8), w_policy);
    } else {
      tma_load(ring + stage * S::kStageBytes, w, &full[stage], column, walk.work.tile * S::kFeatures, 0, 0, w_policy);
    }
  };
  const auto load_x = [&](const Walk<S>& walk, int stage) {  // this block's boxes, for all that need them
    const Work<S>& work = walk.work;
    const int column = walk.slab * kSlabColumns;
    for (int box = work.peer * work.split; box < (work.peer + 1) * work.split; ++box) {
      unsigned char* to = ring + stage * S::kStageBytes + kWBytes + box * S::kBoxBytes;
      const int token = work.token + box * S::kBoxTokens;
      if (work.split == S::kCluster) {  // for this block alone
        tma_load(to, x, &full[stage], column, token, 0, 0, x_policy);
      } else {
        tma_load_multicast(to, x, &full[stage], column, token, 0, 0, work.peers(), x_policy);
      }
    }
  };
  Walk<S> walk(p);
  int first = 0;
  for (Walk<S> ahead = walk; first < S::kStages && ahead.more; ++first, ahead.advance(p)) load_w(ahead, first);
  wait_for_previous();
  for (int i = 0; i < first; ++i, walk.advance(p)) load_x(walk, i);
  for (RingPlace<S::kStages> place; walk.more; place.advance(), walk.advance(p)) {
    barrier_wait(&empty[place.stage], place.parity);  // by all blocks: they all receive
    load_w(walk, place.stage);
    load_x(walk, place.stage);
  }
}

// Sends the other blocks that have a part of the same tile their parts of the tokens, and completes this block's: out[i] = Σ of
// all blocks' acc[part * kPart + i]. buffer: the ring, [sender][result / 4][thread][4]; free, once all have
// come here. The other threads of the cluster call meet_exchange() meanwhile.
template <typename S, int kSplit, int kPart>
__device__ void exchange_sums(const Work<S>& work, const float (&acc)[S::kCount], float (&out)[kPart], unsigned char* buffer) {
  constexpr int kPeers = S::kCluster / kSplit;
  constexpr int kVectors = kPart / 4;
  const auto place = [&](int sender, int vector) {
    return buffer + ((sender * kVectors + vector) * kConsumers + static_cast<int>(threadIdx.x)) * 16;
  };
  cluster_barrier();
#pragma unroll
  for (int to = 0; to < kSplit; ++to) {
    if (to == work.part) {
#pragma unroll
      for (int i = 0; i < kPart; ++i) out[i] = acc[to * kPart + i];
    } else {
      const uint32_t remote = remote_address(place(work.part, 0), static_cast<uint32_t>(to * kPeers + work.peer));
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const float* a = acc + to * kPart + v * 4;
        store_remote_4(remote + v * kConsumers * 16, make_float4(a[0], a[1], a[2], a[3]));
      }
    }
  }
  cluster_barrier();
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    Vec<float, 4> sum = {};
#pragma unroll
    for (int from = 0; from < kSplit; ++from) {
      Vec<float, 4> other;
      if (from == work.part) {
#pragma unroll
        for (int i = 0; i < 4; ++i) other.v[i] = out[v * 4 + i];
      } else {
        other = load_vec<4>(reinterpret_cast<const float*>(place(from, v)));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sum.v[i] += other.v[i];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) out[v * 4 + i] = sum.v[i];
  }
}

// The barriers of exchange_sums(), for threads that have no sums.
template <typename S>
__device__ void meet_exchange(const TileParams& p) {
  Work<S> last;
  if (!last.find(p, p.whole_rounds)) return;
  cluster_barrier();
  cluster_barrier();
}

// Stores results as wgmma leaves them, [8-token group][row + 8 i][token + c], by way of shared memory, so that a warp writes
// whole lines of out.
template <typename T, typename S>
class Store {
 public:
  // staging: of this warpgroup, two chunks.
  __device__ Store(const TileParams& p, unsigned char* staging, int tile)
      : p_(p),
        staging_(staging),
        thread_(static_cast<int>(threadIdx.x) % kGroupThreads),
        barrier_(1 + static_cast<int>(threadIdx.x) / kGroupThreads),
        feature_(tile * S::kFeatures + static_cast<int>(threadIdx.x) / kGroupThreads * S::kGroupFeatures) {
    const int row = thread_ % 32 / 4;
    if constexpr (S::kGated) {
      const int feature = feature_ + warp() * 8 + row;
      bias_[0] = bias_at(feature, feature);
      bias_[1] = bias_at(feature, p.features + feature);
    } else {
      const int feature = feature_ + warp() * 16 + row;
      bias_[0] = bias_at(feature, feature);
      bias_[1] = bias_at(feature + 8, feature + 8);
    }
  }

  // kResults results of tokens from `token` on.
  template <int kResults>
  __device__ void tokens(const float (&acc)[kResults], int token) {
    if (p_.float_out) {
#pragma unroll
      for (int i = 0; i < kResults; i += kChunk / 4) {
        if (token + i * 2 < p_.tokens) chunk_as_float<kResults>(acc, i, token + i * 2, i / (kChunk / 4) % 2);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kResults; i += kChunk / 2) {
        if (token + i * 2 < p_.tokens) chunk<kResults>(acc, i, token + i * 2, i / (kChunk / 2) % 2);
      }
    }
  }

 private:
  __device__ int warp() const { return thread_ / 32; }
  __device__ float bias_at(int feature, int place) const {
    return p_.bias.data && feature < p_.features ? load_any<1>(p_.bias, place).v[0] : 0.0f;
  }

  template <int kResults>
  __device__ __forceinline__ void chunk(const float (&acc)[kResults], int first, int token, int buffer) {
    constexpr int kPitch = S::kGroupFeatures + kPad;
    T* staged = reinterpret_cast<T*>(staging_ + buffer * kChunkBytes);
    const int matrix = thread_ % 32 / 8;
    const int row = thread_ % 8;
    if constexpr (S::kGated) {
      uint32_t r[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        float value[2];
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const float gate = acc[first + 4 * j + c] + bias_[0];
          value[c] = __fdividef(gate, 1.0f + __expf(-gate)) * (acc[first + 4 * j + 2 + c] + bias_[1]);
        }
        r[j] = pack(value[0], value[1], T());
      }
      store_matrices_transposed(staged + (matrix * 8 + row) * kPitch + warp() * 8, r);
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint32_t r[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int at = first + half * 8 + j * 2;
          r[j] = pack(acc[at] + bias_[j % 2], acc[at + 1] + bias_[j % 2], T());
        }
        store_matrices_transposed(staged + (half * 16 + matrix / 2 * 8 + row) * kPitch + warp() * 16 + matrix % 2 * 8, r);
      }
    }
    named_barrier(barrier_, kGroupThreads);
    copy_out<T, kChunk, kPitch>(staged, token);
  }

  template <int kResults>
  __device__ __forceinline__ void chunk_as_float(const float (&acc)[kResults], int first, int token, int buffer) {
    constexpr int kPitch = S::kGroupFeatures + kPad / 2;
    float* staged = reinterpret_cast<float*>(staging_ + buffer * kChunkBytes);
    const int lane = thread_ % 32;
#pragma unroll
    for (int i = 0; i < kChunk / 4; ++i) {
      staged[(i / 4 * 8 + lane % 4 * 2 + i % 2) * kPitch + warp() * 16 + i / 2 % 2 * 8 + lane / 4] =
          acc[first + i] + bias_[i / 2 % 2];
    }
    named_barrier(barrier_, kGroupThreads);
    copy_out<float, kChunk / 2, kPitch>(staged, token);
  }

  template <typename TO, int kTokens, int kPitch>
  __device__ __forceinline__ void copy_out(const TO* staged, int token) {
    constexpr int kVec = 16 / sizeof(TO);
    constexpr int kPerToken = S::kGroupFeatures / kVec;
    static_assert(kTokens * kPerToken % kGroupThreads == 0);
#pragma unroll
    for (int i = 0; i < kTokens * kPerToken / kGroupThreads; ++i) {
      const int item = i * kGroupThreads + thread_;
      const int row = item / kPerToken;
      const int column = item % kPerToken * kVec;
      const int feature = feature_ + column;
      if (token + row >= p_.tokens || feature >= p_.features) continue;
      const Vec<TO, kVec> value = load_vec<kVec>(staged + row * kPitch + column);
      TO* to = static_cast<TO*>(p_.out) + (token + row) * p_.out_stride + feature;
      if (p_.vectors && feature + kVec <= p_.features) {
        store_vec(to, value);
      } else {
#pragma unroll
        for (int j = 0; j < kVec; ++j) {
          if (feature + j < p_.features) to[j] = value.v[j];
        }
      }
    }
  }

  const TileParams& p_;
  unsigned char* staging_;
  int thread_, barrier_, feature_;
  float bias_[2];  // of the rows r and r + 8; of gate and up
};

template <typename T, typename S>
__device__ void consume(const TileParams& p, unsigned char* ring, uint64_t* full, uint64_t* empty) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  unsigned char* staging = ring + S::kStages * S::kStageBytes + group * 2 * kChunkBytes;
  const auto release = [&](int stage) {
    if (threadIdx.x % 32 < S::kCluster) barrier_release_remote(&empty[stage], threadIdx.x % 32);
  };
  RingPlace<S::kStages> place;
  Work<S> work;
  for (int round = 0; work.find(p, round); ++round) {
    float acc[S::kCount];
    int last_stage = -1;
    for (int slab = work.begin; slab < work.end; ++slab) {
      barrier_wait(&full[place.stage], place.parity);
      const uint32_t stage = shared_address(ring + place.stage * S::kStageBytes);
      const uint64_t w = smem_descriptor(stage + group * (kGroupRows * kRowBytes));
      const uint64_t x = smem_descriptor(stage + kWBytes);
      wgmma_hold(acc);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < kSlabColumns / 16; ++k) {  // 16 elements are 32 bytes, 2 of the descriptor's units
        Wgmma<T, S::kTokens>::run(acc, w + k * 2, x + k * 2, slab > work.begin || k > 0);
      }
      wgmma_commit();
      wgmma_hold(acc);
      wgmma_wait<1>();
      if (last_stage >= 0) release(last_stage);
      last_stage = place.stage;
      place.advance();
    }
    wgmma_wait<0>();
    wgmma_hold(acc);
    release(last_stage);
    Store<T, S> store(p, staging, work.tile);
    const auto store_part = [&](auto split) {
      constexpr int kPart = S::kCount / split();
      float part[kPart];
      exchange_sums<S, split()>(work, acc, part, ring);
      store.tokens(part, work.token + work.part * kPart * 2);
    };
    if (work.split == 1) {
      store.tokens(acc, work.token);
    } else if (work.split == 2) {
      store_part(std::integral_constant<int, 2>{});
    } else if constexpr (S::kMaxSplit == 4) {
      store_part(std::integral_constant<int, 4>{});
    }
  }
}

template <typename T, typename S>
__global__ void __launch_bounds__(kThreads, 1)
    linear_tile_kernel(const __grid_constant__ CUtensorMap w, const __grid_constant__ CUtensorMap x,
                       const __grid_constant__ TileParams p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char tile_shared[];
  __shared__ uint64_t full[S::kStages], empty[S::kStages];
  unsigned char* ring = tile_shared + (1024 - shared_address(tile_shared) % 1024) % 1024;
  start_next();
  if (threadIdx.x == kConsumers) {
    tma_prefetch_map(w);
    tma_prefetch_map(x);
    constexpr int kWarps = S::kCluster * kConsumers / 32;
    for (int i = 0; i < S::kStages; ++i) {
      barrier_init(&full[i], 1);
      barrier_init(&empty[i], kWarps);
    }
    barrier_init_fence();
  }
  cluster_barrier();  // before other blocks arrive and send here
  if (threadIdx.x >= kConsumers) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x == kConsumers) produce<S>(p, w, x, ring, full, empty);
    meet_exchange<S>(p);
  } else {
    take_registers<kConsumerRegisters>();
    wait_for_previous();
    consume<T, S>(p, ring, full, empty);
  }
  cluster_farewell();  // others may still arrive and send here
#endif
}

// What a launch is about; see linear_tile.h.
struct TileCall {
  TensorView out, x, w;
  AnyVector bias;
};

// How the tiles of a matrix come out on the device.
template <typename S>
struct Rounds {
  int64_t tiles, token_tiles, units;  // units: a tile for each block of a cluster
  int whole = 0;
  int split = 1;  // of the tiles that are left

  // `most` clusters run at a time.
  Rounds(int64_t features, int64_t tokens, int most)
      : tiles(divide_up(features, S::kFeatures)),
        token_tiles(divide_up(tokens, S::kTokens)),
        units(divide_up(tiles, S::kCluster) * token_tiles),
        whole(static_cast<int>(units / most)) {
    const int64_t left = units % most;
    for (int parts = S::kMaxSplit; left > 0 && split == 1 && parts > 1; parts /= 2) {
      if (split_clusters(most, parts) <= most) split = parts;
    }
    if (left > 0 && split == 1) ++whole;
  }
  // Clusters that the tiles after the whole rounds take, each cut into `parts`.
  int64_t split_clusters(int most, int parts) const {
    const int64_t left = units - static_cast<int64_t>(whole) * most;
    if (token_tiles > 1) return left * parts;
    return divide_up(tiles - static_cast<int64_t>(whole) * most * S::kCluster, S::kCluster / parts);
  }
  int clusters(int most) const {
    return whole > 0 ? static_cast<int>(std::min<int64_t>(units, most)) : static_cast<int>(split_clusters(most, split));
  }
  // Time, in that of a token of a tile.
  double length() const { return S::kTokens * (whole + (split > 1 ? 1.0 / split : 0.0)); }
};

template <typename T, typename S>
int prepare() {
  const auto kernel = linear_tile_kernel<T, S>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes), "linear: shared memory");
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
             "linear: shared memory");
  const int clusters = max_active_clusters(ClusterSize{S::kCluster}, kernel, kThreads, kSharedBytes);
  check_cuda(clusters > 0 ? cudaSuccess : cudaErrorInvalidConfiguration, "linear: clusters with their shared memory");
  return clusters;
}

// Of the kernel: its clusters that run at a time.
template <typename T, typename S>
int clusters_of() {
  static const int clusters = prepare<T, S>();
  return clusters;
}

template <typename T, typename S>
Rounds<S> rounds_of(const TileCall& call) {
  return Rounds<S>(call.out.cols, call.x.rows, clusters_of<T, S>());
}

CUtensorMap w_map_of(const TensorView& w, bool gated) {
  const auto cols = static_cast<uint64_t>(w.cols);
  const uint64_t row_bytes = cols * 2;
  if (gated) {
    const auto features = static_cast<uint64_t>(w.rows / 2);
    return make_tensor_map(w.dtype, w.data, {cols, 8, 2, features / 8}, {row_bytes, row_bytes * features, row_bytes * 8},
                           {kSlabColumns, 8, 2, kTileRows / 16});
  }
  return make_tensor_map(w.dtype, w.data, {cols, static_cast<uint64_t>(w.rows), 1, 1}, {row_bytes, row_bytes, row_bytes},
                         {kSlabColumns, kTileRows, 1, 1});
}

template <typename T, typename S>
void launch(const Launch& to, const TileCall& call) {
  const auto& [out, x, w, bias] = call;
  const auto row_bytes = static_cast<uint64_t>(x.stride) * 2;
  const CUtensorMap w_map = w_map_of(w, S::kGated);
  const CUtensorMap x_map = make_tensor_map(x.dtype, x.data, {static_cast<uint64_t>(x.cols), static_cast<uint64_t>(x.rows), 1, 1},
                                            {row_bytes, row_bytes, row_bytes}, {kSlabColumns, S::kBoxTokens, 1, 1});
  TileParams p = {};
  p.out = out.data;
  p.out_stride = out.stride;
  p.float_out = out.dtype == DType::kFloat32;
  p.vectors = aligned_to(out.data, 16) && out.stride * static_cast<int64_t>(size_of(out.dtype)) % 16 == 0;
  p.bias = bias;
  p.tokens = static_cast<int32_t>(x.rows);
  p.features = static_cast<int32_t>(out.cols);
  const int most = clusters_of<T, S>();
  const Rounds<S> rounds = rounds_of<T, S>(call);
  p.tiles = static_cast<int32_t>(rounds.tiles);
  p.token_tiles = static_cast<int32_t>(rounds.token_tiles);
  p.groups = static_cast<int32_t>(divide_up(rounds.tiles, S::kCluster));
  p.whole_rounds = rounds.whole;
  p.slabs = static_cast<int32_t>(divide_up(x.cols, kSlabColumns));
  p.split = rounds.split;
  p.part_slabs = static_cast<int32_t>(divide_up(p.slabs, rounds.split));
  launch_clusters(to, ClusterSize{S::kCluster}, linear_tile_kernel<T, S>,
                  static_cast<unsigned>(rounds.clusters(most) * S::kCluster), kThreads, kSharedBytes, w_map, x_map, p);
}

template <typename T>
void launch_plain(const Launch& to, const TileCall& call) {
  using Four = Tile<kMaxPlainTokens, false, 4>;
  const Rounds<Four> rounds = rounds_of<T, Four>(call);
  if (rounds.whole == 0 && rounds.split == 4) {  // w has few rows
    launch<T, Four>(to, call);
  } else {
    launch<T, Tile<kMaxPlainTokens, false, 2>>(to, call);
  }
}

template <typename T>
void launch_gated(const Launch& to, const TileCall& call) {
  using Small = Tile<128, true, 2>;
  using Middle = Tile<192, true, 2>;
  using Large = Tile<256, true, 2>;
  const int64_t tokens = call.x.rows;
  if (tokens <= Small::kTokens) {
    launch<T, Small>(to, call);
  } else if (tokens <= Middle::kTokens ||
             (tokens > Large::kTokens && rounds_of<T, Middle>(call).length() < rounds_of<T, Large>(call).length())) {
    launch<T, Middle>(to, call);
  } else {
    launch<T, Large>(to, call);
  }
}

template <typename T>
void launch_for_type(const Launch& to, const TileCall& call, bool gated) {
  if (gated) {
    launch_gated<T>(to, call);
  } else {
    launch_plain<T>(to, call);
  }
}

}  // namespace

bool linear_tile_supports(const Launch& to, TensorView x, TensorView w, bool gated) {
  if (!to.hopper || size_of(x.dtype) != 2 || x.rows <= 1 || x.rows >= (1 << 30) || x.stride % 8 != 0 || !aligned_to(x.data, 16) ||
      w.rows <= 0 || w.rows >= (1 << 30) || w.cols % 8 != 0 || w.cols <= 0 || w.cols >= (1 << 30) || !aligned_to(w.data, 16)) {
    return false;
  }
  return gated ? w.rows % 16 == 0 : x.rows <= kMaxPlainTokens;
}

void launch_linear_tile(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias, bool gated) {
  const TileCall call = {out, x, w, bias};
  if (x.dtype == DType::kBFloat16) {
    launch_for_type<bf16>(to, call, gated);
  } else {
    launch_for_type<f16>(to, call, gated);
  }
  check_launch("linear");
}

}  // namespace lockstep::cuda
