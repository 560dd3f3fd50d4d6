// linear, and the gated pair of them, for up to 64 rows of 16-bit x on sm_90: as fast as w streams from memory.
//
// The tensor cores compute outᵀ = w · xᵀ: w is the 64-wide operand of wgmma and the tokens are its N, so that few tokens waste
// nothing. A tile is 64 rows of w, for the gated pair 32 gate and the 32 up rows that belong to them. A producer thread has the
// copy engine fill a deep ring of stages; a warpgroup multiplies. The weights of the first stages are asked for before the kernel
// before this one has ended. Where the tiles do not come out even, the last ones are shared: two blocks have half of K each and
// exchange their sums through shared memory.
//
// The norm between two linears has no kernel of its own: the first adds its sums to the residual, leaves residual * norm weight,
// and the squares of what it wrote added up by tiles; the second divides its results by the root of their mean.
//
// The order of summation of a result depends neither on the other rows of x nor on their number.
#include <algorithm>

#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/linear_stream.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kTileRows = 64;  // of w
constexpr int kRowBytes = 2 * kSlabColumns;
constexpr int kConsumers = 128;
constexpr int kThreads = kConsumers + 32;
// Shared memory of a block: one a multiprocessor (two, of this kernel and the next, would crowd some multiprocessors and leave
// others idle), with room for blocks of the small kernels before and after.
constexpr int kSharedBytes = 204 << 10;
constexpr int kMaxStages = 16;

struct StreamParams {
  void* out;
  int64_t out_stride;
  bool float_out;
  bool vectors;  // rows of out are aligned for stores of 8 elements
  AnyVector bias;
  int32_t tokens;    // M
  int32_t features;  // of out
  int32_t tiles;
  int32_t whole_rounds;                            // after which tiles are shared, where blocks form clusters
  int32_t stages;                                  // of K, a tile
  int32_t half;                                    // slabs of K of the first block that shares a tile
  int32_t w_x_step, w_z_step, x_x_step, x_z_step;  // see SlabMap
  // Of x, where its norm is unfinished: [M, parts]; else null.
  const float* x_squares;
  int32_t x_parts;
  float x_inverse_cols, x_eps;
  // Of linear_add_norm, else null. squares: [M, 2 * tiles]
  float* residual;
  int64_t residual_stride;
  AnyVector norm_weight;
  float* squares;
};

// kTokens rows of x; kSlabs of 64 elements of K a stage; kCluster blocks share a tile.
template <int kTokens_, bool kGated_, int kSlabs_, int kCluster_>
struct Shape {
  static constexpr int kTokens = kTokens_, kSlabs = kSlabs_, kCluster = kCluster_;
  static constexpr bool kGated = kGated_;
  static constexpr int kPieces = kGated ? 2 : 1;         // of w: gate and up
  static constexpr int kFeatures = kTileRows / kPieces;  // of out, a tile
  static constexpr int kSlabBytes = kTileRows * kRowBytes;
  static constexpr int kStageBytes = kSlabs * (kTileRows + kTokens) * kRowBytes;
  // Independent sums of every result, by K / 16 modulo kChains: a wgmma of few columns has more latency than work.
  static constexpr int kChains = 4;
  static constexpr int kCount = kTokens / 2;  // results a thread
  // The results of a tile, [token][row of w]: the pitch spreads what a warp writes over all banks.
  static constexpr int kPitch = kTileRows + 4;
  static constexpr int kResultBytes = kTokens * kPitch * static_cast<int>(sizeof(float));
  // What the other block sends: half of its results of a tile.
  static constexpr int kExchangeBytes = kCluster == 1 ? 0 : kCount / 2 * kConsumers * static_cast<int>(sizeof(float));
  static constexpr int kStages = std::min((kSharedBytes - kResultBytes - kExchangeBytes - 1024) / kStageBytes, kMaxStages);
};

// What a block does in its round-th turn: a tile and the slabs of K, in whole stages; what lies past the end of K is zeros.
template <typename S>
struct Work {
  int tile, begin, end;
  bool shared;  // with the other block of the cluster

  // False: nothing.
  __device__ bool find(const StreamParams& p, int round) {
    const auto block = static_cast<int>(blockIdx.x);
    const auto blocks = static_cast<int>(gridDim.x);
    tile = round * blocks + block;
    begin = 0;
    end = p.stages * S::kSlabs;
    shared = S::kCluster > 1 && round == p.whole_rounds;
    if (shared) {
      const int half = p.half;
      tile = round * blocks + block / 2;
      begin = block % 2 == 0 ? 0 : half;
      end = block % 2 == 0 ? half : end;
    }
    return tile < p.tiles && round <= p.whole_rounds;
  }
};

// The stages of a block in the order of their loads.
template <typename S>
struct Walk {
  Work<S> work;
  int round = 0;
  int slab = 0;
  bool more;

  __device__ explicit Walk(const StreamParams& p) { enter(p); }
  __device__ void enter(const StreamParams& p) {
    do {
      more = work.find(p, round++);
    } while (more && work.begin == work.end);  // a half of one stage may be none
    slab = work.begin;
  }
  __device__ void advance(const StreamParams& p) {
    slab += S::kSlabs;
    if (slab >= work.end) enter(p);
  }
};

template <typename S>
__device__ void produce(const StreamParams& p, const CUtensorMap& w, const CUtensorMap& x, unsigned char* ring, uint64_t* full,
                        uint64_t* empty) {
  Walk<S> w_walk(p);  // runs ahead of x at first
  Walk<S> x_walk = w_walk;
  const auto load_w = [&](int stage) {
    barrier_arrive_expect(&full[stage], S::kStageBytes);
    tma_load(ring + stage * S::kStageBytes, w, &full[stage], w_walk.slab * p.w_x_step, w_walk.work.tile * S::kFeatures, 0,
             w_walk.slab * p.w_z_step, L2Policy::kEvictFirst);
    w_walk.advance(p);
  };
  const auto load_x = [&](int stage) {
    tma_load(ring + stage * S::kStageBytes + S::kSlabs * S::kSlabBytes, x, &full[stage], x_walk.slab * p.x_x_step, 0, 0,
             x_walk.slab * p.x_z_step, L2Policy::kEvictLast);
    x_walk.advance(p);
  };
  int first = 0;
  for (; first < S::kStages && w_walk.more; ++first) load_w(first);
  wait_for_previous();
  for (int i = 0; i < first; ++i) load_x(i);
  RingPlace<S::kStages> place;
  while (w_walk.more) {
    barrier_wait(&empty[place.stage], place.parity);
    load_w(place.stage);
    load_x(place.stage);
    place.advance();
  }
}

// Completes the results r with r / 2 % 2 == rank (rows 8 rank .. + 7 of each 16) and sends the others to the other block. buffer:
// [result][thread], used once.
template <typename S>
__device__ void exchange_sums(float (&acc)[S::kCount], int rank, float* buffer, uint64_t* arrived) {
  buffer += threadIdx.x;
  const uint32_t remote = remote_address(buffer, static_cast<uint32_t>(1 - rank));
#pragma unroll
  for (int j = 0; j < S::kCount / 2; ++j) {  // results 4 g + c and 4 g + 2 + c, c in 0, 1
    const int r = j / 2 * 4 + j % 2;
    store_remote(remote + static_cast<uint32_t>(j * kConsumers * sizeof(float)), rank == 0 ? acc[r + 2] : acc[r]);
  }
  barrier_arrive_remote(arrived, static_cast<uint32_t>(1 - rank));  // by each thread: for what it wrote itself
  barrier_wait_cluster(arrived, 0);
#pragma unroll
  for (int j = 0; j < S::kCount / 2; ++j) {  // a sum of two does not depend on their order
    const int r = j / 2 * 4 + j % 2;
    const float other = buffer[j * kConsumers];
    if (rank == 0) {
      acc[r] += other;
    } else {
      acc[r + 2] += other;
    }
  }
}

template <typename TO>
__device__ __forceinline__ void store_8(const StreamParams& p, int token, int feature, const float (&value)[8]) {
  TO* to = static_cast<TO*>(p.out) + token * p.out_stride + feature;
  if (p.vectors && feature + 8 <= p.features) {
    constexpr int kVec = 16 / sizeof(TO);
#pragma unroll
    for (int v = 0; v < 8; v += kVec) {
      Vec<TO, kVec> x;
#pragma unroll
      for (int j = 0; j < kVec; ++j) x.v[j] = from_float<TO>(value[v + j]);
      store_vec(to + v, x);
    }
  } else {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if (feature + j < p.features) to[j] = from_float<TO>(value[j]);
    }
  }
}

// scale[t] = 1 / the root mean square of row t of x, or 1. x_parts is even, so that pairs of parts are aligned.
template <typename S>
__device__ void find_scales(const StreamParams& p, float* scale) {
  constexpr int kLanes = kConsumers / S::kTokens;  // of a token: 2 to 16, side by side
  constexpr int kUnroll = 8;                       // loads in flight
  const int token = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  if (p.x_squares == nullptr) {
    if (lane == 0) scale[token] = 1.0f;
    return;
  }
  const float* squares = p.x_squares + static_cast<int64_t>(min(token, p.tokens - 1)) * p.x_parts;
  float sum = 0.0f;
  for (int first = 2 * lane; first < p.x_parts; first += 2 * kLanes * kUnroll) {
    Vec<float, 2> part[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) part[u] = load_vec<2>(squares + min(first + 2 * kLanes * u, p.x_parts - 2));
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) sum += first + 2 * kLanes * u < p.x_parts ? part[u].v[0] + part[u].v[1] : 0.0f;
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kFullMask, sum, offset);
  if (lane == 0) scale[token] = rsqrtf(sum * p.x_inverse_cols + p.x_eps);
}

// A thread's part in storing a tile: runs of 8 neighbouring features of a token. The runs of a token are side by side in a warp.
template <typename S>
struct Runs {
  static constexpr int kCount = (S::kTokens * S::kFeatures / 8 + kConsumers - 1) / kConsumers;  // a thread, at most
  int per_token, step, tile, rank;

  // shared: every other run is the other block's.
  __device__ Runs(int tile, bool shared, int rank)
      : per_token(S::kFeatures / 8 / (shared ? 2 : 1)), step(shared ? 2 : 1), tile(tile), rank(shared ? rank : 0) {}
  __device__ int item(int i) const { return i * kConsumers + static_cast<int>(threadIdx.x); }
  __device__ int token(int i) const { return item(i) / per_token; }
  __device__ int row(int i) const { return (item(i) % per_token * step + rank) * 8; }  // within the tile
  __device__ int feature(int i) const { return tile * S::kFeatures + row(i); }
  __device__ bool valid(const StreamParams& p, int i) const { return token(i) < p.tokens && feature(i) < p.features; }
};

// acc as wgmma leaves it: [8-token group][row + 8 i][token + c]. By way of shared memory, so that a thread stores 8 neighbours.
template <typename T, typename S>
__device__ void store_tile(const StreamParams& p, const float (&acc)[S::kCount], float* results, const float* scale, int tile,
                           bool shared, int rank) {
  const Runs<S> runs(tile, shared, rank);
  Vec<float, 8> residual[Runs<S>::kCount] = {};
  if constexpr (!S::kGated) {
    if (p.residual) {
#pragma unroll
      for (int i = 0; i < Runs<S>::kCount; ++i) {
        if (runs.valid(p, i)) residual[i] = load_vec<8>(p.residual + runs.token(i) * p.residual_stride + runs.feature(i));
      }
    }
  }
  const int lane = threadIdx.x % 32;
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
  named_barrier(1, kConsumers);  // the tile before has been read
#pragma unroll
  for (int r = 0; r < S::kCount; ++r) {
    results[(r / 4 * 8 + lane % 4 * 2 + r % 2) * S::kPitch + row + r / 2 % 2 * 8] = acc[r];
  }
  named_barrier(1, kConsumers);
  const auto bias_at = [&](int feature) { return p.bias.data ? load_any<1>(p.bias, feature).v[0] : 0.0f; };
#pragma unroll
  for (int i = 0; i < Runs<S>::kCount; ++i) {
    const int token = runs.token(i);
    const int feature = runs.feature(i);
    float squares = 0.0f;
    if (runs.valid(p, i)) {
      const float* result = results + token * S::kPitch + runs.row(i);
      float value[8];
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int f = min(feature + j, p.features - 1);
        value[j] = result[j] * scale[token] + bias_at(f);
        if constexpr (S::kGated) {
          const float up = result[S::kFeatures + j] * scale[token] + bias_at(p.features + f);
          value[j] = value[j] / (1.0f + __expf(-value[j])) * up;
        }
      }
      if constexpr (!S::kGated) {
        if (p.residual) {
          const Vec<float, 8> w = load_any<8>(p.norm_weight, feature);
#pragma unroll
          for (int j = 0; j < 8; ++j) {
            residual[i].v[j] += value[j];
            squares += residual[i].v[j] * residual[i].v[j];
            value[j] = residual[i].v[j] * w.v[j];
          }
          store_vec(p.residual + token * p.residual_stride + feature, residual[i]);
        }
      }
      if (p.float_out) {
        store_8<float>(p, token, feature, value);
      } else {
        store_8<T>(p, token, feature, value);
      }
    }
    if constexpr (!S::kGated) {
      if (p.squares == nullptr) continue;
      for (int offset = runs.per_token / 2; offset > 0; offset /= 2) squares += __shfl_xor_sync(kFullMask, squares, offset);
      if (token < p.tokens && runs.item(i) % runs.per_token == 0) {
        float* to = p.squares + (static_cast<int64_t>(token) * p.tiles + tile) * 2;
        to[runs.rank] = squares;
        if (!shared) to[1] = 0.0f;
      }
    }
  }
}

template <typename T, typename S>
__device__ void consume(const StreamParams& p, unsigned char* ring, uint64_t* full, uint64_t* empty, uint64_t* arrived,
                        float* scale) {
  find_scales<S>(p, scale);  // seen by all after the barriers of store_tile()
  float* results = reinterpret_cast<float*>(ring + S::kStages * S::kStageBytes);
  float* exchange = results + S::kTokens * S::kPitch;
  const int rank = static_cast<int>(blockIdx.x) % S::kCluster;
  const auto release = [&](int stage) {
    if (threadIdx.x % 32 == 0) barrier_arrive(&empty[stage]);
  };
  RingPlace<S::kStages> place;
  Work<S> work;
  for (int round = 0; work.find(p, round); ++round) {
    float acc[S::kChains][S::kCount] = {};
    const auto hold = [&] {
#pragma unroll
      for (int i = 0; i < S::kChains; ++i) wgmma_hold(acc[i]);
    };
    int last_stage = -1;
    for (int slab = work.begin; slab < work.end; slab += S::kSlabs) {
      barrier_wait(&full[place.stage], place.parity);
      const uint32_t w_address = shared_address(ring + place.stage * S::kStageBytes);
      const uint32_t x_address = w_address + S::kSlabs * S::kSlabBytes;
      hold();
      wgmma_fence();
#pragma unroll
      for (int s = 0; s < S::kSlabs; ++s) {
        const uint64_t w = smem_descriptor(w_address + s * S::kSlabBytes);
        const uint64_t x = smem_descriptor(x_address + s * S::kTokens * kRowBytes);
#pragma unroll
        for (int k = 0; k < kSlabColumns / 16; ++k) {  // 16 elements are 32 bytes, 2 of the descriptor's units
          Wgmma<T, S::kTokens>::run(acc[(s * 4 + k) % S::kChains], w + k * 2, x + k * 2, 1);
        }
      }
      wgmma_commit();
      hold();
      wgmma_wait<1>();
      if (last_stage >= 0) release(last_stage);
      last_stage = place.stage;
      place.advance();
    }
    wgmma_wait<0>();
    hold();
    if (last_stage >= 0) release(last_stage);
#pragma unroll
    for (int chain = 1; chain < S::kChains; ++chain) {
#pragma unroll
      for (int r = 0; r < S::kCount; ++r) acc[0][r] += acc[chain][r];
    }
    if constexpr (S::kCluster > 1) {
      if (work.shared) exchange_sums<S>(acc[0], rank, exchange, arrived);
    }
    store_tile<T, S>(p, acc[0], results, scale, work.tile, work.shared, rank);
  }
}

template <typename T, typename S>
__global__ void __launch_bounds__(kThreads, 1)
    linear_stream_kernel(const __grid_constant__ CUtensorMap w, const __grid_constant__ CUtensorMap x,
                         const __grid_constant__ StreamParams p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char stream_shared[];
  __shared__ uint64_t full[S::kStages], empty[S::kStages], arrived;
  __shared__ float scale[S::kTokens];
  unsigned char* ring = stream_shared + (1024 - shared_address(stream_shared) % 1024) % 1024;
  start_next();
  if (threadIdx.x == kConsumers) {
    tma_prefetch_map(w);
    tma_prefetch_map(x);
    for (int i = 0; i < S::kStages; ++i) {
      barrier_init(&full[i], 1);
      barrier_init(&empty[i], kConsumers / 32);
    }
    barrier_init(&arrived, kConsumers);
    barrier_init_fence();
  }
  if constexpr (S::kCluster > 1) {
    cluster_barrier();  // before the other block sends here
  } else {
    __syncthreads();
  }
  if (threadIdx.x == kConsumers) {
    produce<S>(p, w, x, ring, full, empty);
  } else if (threadIdx.x < kConsumers) {
    wait_for_previous();
    consume<T, S>(p, ring, full, empty, &arrived, scale);
  }
  if constexpr (S::kCluster > 1) cluster_farewell();  // the other block has sent its sums here
#endif
}

// What a launch is about; see linear_stream.h.
struct AddNorm {
  TensorView residual, squares;
  AnyVector weight;
};
struct StreamCall {
  TensorView out;
  Rows rows;
  TensorView w;
  AnyVector bias;
  AddNorm add_norm;
};

template <typename T, typename S>
void launch(const Launch& to, const StreamCall& call) {
  const auto& [out, rows, w, bias, add_norm] = call;
  const TensorView& x = rows.x;
  const auto kernel = linear_stream_kernel<T, S>;
  static const cudaError_t raised = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  check_cuda(raised, "linear: shared memory");
  static const cudaError_t carved =
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
  check_cuda(carved, "linear: shared memory");

  const SlabMap w_map = make_slab_map(w, S::kPieces, S::kFeatures, S::kSlabs);
  const SlabMap x_map = make_slab_map(x, 1, S::kTokens, S::kSlabs);
  StreamParams p = {};
  p.out = out.data;
  p.out_stride = out.stride;
  p.float_out = out.dtype == DType::kFloat32;
  p.vectors = aligned_to(out.data, 16) && (out.rows <= 1 || out.stride % 8 == 0);
  p.bias = bias;
  p.tokens = static_cast<int32_t>(x.rows);
  p.features = static_cast<int32_t>(out.cols);
  p.tiles = static_cast<int32_t>(divide_up(out.cols, S::kFeatures));
  p.stages = static_cast<int32_t>(divide_up(x.cols, S::kSlabs * kSlabColumns));
  p.x_squares = static_cast<const float*>(rows.squares.data);
  p.x_parts = static_cast<int32_t>(rows.squares.cols);
  p.x_inverse_cols = 1.0f / static_cast<float>(x.cols);
  p.x_eps = rows.eps;
  p.residual = static_cast<float*>(add_norm.residual.data);
  p.residual_stride = add_norm.residual.stride;
  p.norm_weight = add_norm.weight;
  p.squares = static_cast<float*>(add_norm.squares.data);
  p.half = static_cast<int32_t>(divide_up(x.cols, kSlabColumns) / 4 * 2);  // whole stages of any Shape
  p.w_x_step = w_map.x_step;
  p.w_z_step = w_map.z_step;
  p.x_x_step = x_map.x_step;
  p.x_z_step = x_map.z_step;
  const int most = to.sm_count / S::kCluster * S::kCluster;
  p.whole_rounds = S::kCluster > 1 ? p.tiles / most : static_cast<int32_t>(divide_up(p.tiles, most)) - 1;
  const auto grid = static_cast<unsigned>(p.tiles >= most ? most : p.tiles * S::kCluster);
  launch_clusters(to, ClusterSize{S::kCluster}, kernel, grid, kThreads, kSharedBytes, w_map.map, x_map.map, p);
}

template <typename T, int kTokens, bool kGated>
void launch_for_shape(const Launch& to, const StreamCall& call) {
  constexpr int kSlabs = kTokens <= 32 ? 2 : 1;
  const int64_t tiles = divide_up(call.out.cols, Shape<kTokens, kGated, 1, 1>::kFeatures);
  const int pairs = to.sm_count / 2;         // of blocks that can share a tile
  const int64_t left = tiles % (2 * pairs);  // after every block of the pairs has had as many
  if (call.rows.x.cols % kSlabColumns != 0) {
    launch<T, Shape<kTokens, kGated, 1, 1>>(to, call);
  } else if (left > 0 && left <= pairs) {
    launch<T, Shape<kTokens, kGated, kSlabs, 2>>(to, call);
  } else {
    launch<T, Shape<kTokens, kGated, kSlabs, 1>>(to, call);
  }
}

template <typename T, bool kGated>
void launch_for_tokens(const Launch& to, const StreamCall& call) {
  if (call.rows.x.rows <= 8) {
    launch_for_shape<T, 8, kGated>(to, call);
  } else if (call.rows.x.rows <= 16) {
    launch_for_shape<T, 16, kGated>(to, call);
  } else if (call.rows.x.rows <= 32) {
    launch_for_shape<T, 32, kGated>(to, call);
  } else {
    launch_for_shape<T, 64, kGated>(to, call);
  }
}

template <typename T>
void launch_for_type(const Launch& to, const StreamCall& call, bool gated) {
  if (gated) {
    launch_for_tokens<T, true>(to, call);
  } else {
    launch_for_tokens<T, false>(to, call);
  }
}

}  // namespace

bool linear_stream_supports(const Launch& to, TensorView x, TensorView w) {
  return to.hopper && size_of(x.dtype) == 2 && x.rows <= kMaxStreamTokens && w.rows < (1 << 30) && w.cols % 8 == 0 &&
         w.cols < (1 << 30) && aligned_to(w.data, 16) && aligned_to(x.data, 16) && (x.rows <= 1 || x.stride % 8 == 0);
}

void launch_linear_stream(const Launch& to, TensorView out, const Rows& x, TensorView w, AnyVector bias, bool gated) {
  const StreamCall call = {out, x, w, bias, {}};
  if (x.x.dtype == DType::kBFloat16) {
    launch_for_type<bf16>(to, call, gated);
  } else {
    launch_for_type<f16>(to, call, gated);
  }
  check_launch("linear");
}

int64_t linear_add_norm_parts(int64_t features) { return 2 * divide_up(features, kTileRows); }

bool linear_add_norm_supports(const Launch& to, TensorView out, TensorView residual, TensorView x, TensorView w,
                              TensorView norm_weight) {
  // The rows that are left have the residual's range, which float16 may not hold; they go into linears of this file.
  return out.dtype == DType::kBFloat16 && x.rows <= kMaxAddNormTokens && x.cols > 0 && out.contiguous() &&
         rows_aligned(residual, 8) && rows_aligned(norm_weight, 8) && linear_stream_supports(to, x, w) &&
         linear_stream_supports(to, out, out) && linear_add_norm_parts(w.rows) <= kMaxSquareParts;
}

void launch_linear_add_norm(const Launch& to, TensorView out, TensorView residual, TensorView squares, TensorView x, TensorView w,
                            AnyVector bias, AnyVector norm_weight) {
  launch_for_tokens<bf16, false>(to, {out, x, w, bias, {residual, squares, norm_weight}});
  check_launch("linear_add_norm");
}

}  // namespace lockstep::cuda
