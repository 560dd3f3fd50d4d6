// Rotary embedding: its table, and QK-norm + rotation + the write to the KV cache in one kernel.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// One thread a (token, pair).
__global__ void rope_table_kernel(TensorView cos_sin, const float* inv_freq, const int32_t* positions) {
  const int64_t half = cos_sin.cols / 2;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= cos_sin.rows * half) return;
  const int64_t t = i / half;
  const int64_t pair = i - t * half;
  float s, c;
  sincosf(static_cast<float>(positions[t]) * inv_freq[pair], &s, &c);
  float* out = static_cast<float*>(cos_sin.data) + t * cos_sin.stride + 2 * pair;
  out[0] = c;
  out[1] = s;
}

struct StoreParams {
  TensorView qkv;
  TensorView cos_sin;
  AnyVector q_norm, k_norm;
  float eps;
  const int64_t* kv_index;
  void* k;
  void* v;
  int32_t q_heads, kv_heads, head_dim;
  int64_t block_size;
};

// One warp a (token, head); a lane takes N neighbouring pairs at a time.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads) norm_rope_store_kernel(StoreParams p) {
  const int lane = threadIdx.x % 32;
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const int heads = p.q_heads + 2 * p.kv_heads;
  const int64_t t = item / heads;
  if (t >= p.qkv.rows) return;  // the whole warp
  const int head = static_cast<int>(item - t * heads);
  const int dim = p.head_dim;
  const int half = dim / 2;
  T* x = static_cast<T*>(p.qkv.data) + t * p.qkv.stride + static_cast<int64_t>(head) * dim;

  // Where this head goes in the cache; nullptr for a query head.
  T* cache = nullptr;
  if (head >= p.q_heads) {
    const bool is_v = head >= p.q_heads + p.kv_heads;
    const int64_t kv_head = head - p.q_heads - (is_v ? p.kv_heads : 0);
    const int64_t index = p.kv_index[t];
    const int64_t block = index / p.block_size;
    const int64_t row = (block * p.kv_heads + kv_head) * p.block_size + (index - block * p.block_size);
    cache = static_cast<T*>(is_v ? p.v : p.k) + row * dim;
    if (is_v) {
      for (int i = lane * N; i < dim; i += 32 * N) store_vec(cache + i, load_vec<N>(x + i));
      return;
    }
  }

  const AnyVector norm = head < p.q_heads ? p.q_norm : p.k_norm;
  float scale = 1.0f;
  if (norm.data) {
    float squares = 0.0f;
    for (int i = lane * N; i < dim; i += 32 * N) {
      const Vec<T, N> v = load_vec<N>(x + i);
#pragma unroll
      for (int j = 0; j < N; ++j) squares += to_float(v.v[j]) * to_float(v.v[j]);
    }
    scale = 1.0f / sqrtf(warp_reduce(squares, Sum()) / static_cast<float>(dim) + p.eps);
  }
  const float* cos_sin = static_cast<const float*>(p.cos_sin.data) + t * p.cos_sin.stride;
  for (int i = lane * N; i < half; i += 32 * N) {
    const Vec<T, N> low = load_vec<N>(x + i);
    const Vec<T, N> high = load_vec<N>(x + half + i);
    Vec<float, 2 * N> angle;  // cos, sin, cos, ...
    if constexpr (N == 1) {   // the table's rows may lie anywhere
      angle.v[0] = cos_sin[2 * i];
      angle.v[1] = cos_sin[2 * i + 1];
    } else {
      angle = load_vec<2 * N>(cos_sin + 2 * i);
    }
    Vec<T, N> new_low, new_high;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      float a = to_float(low.v[j]);
      float b = to_float(high.v[j]);
      if (norm.data) {
        a *= scale * load_any<1>(norm, i + j).v[0];
        b *= scale * load_any<1>(norm, half + i + j).v[0];
      }
      const float c = angle.v[2 * j];
      const float s = angle.v[2 * j + 1];
      new_low.v[j] = from_float<T>(a * c - b * s);
      new_high.v[j] = from_float<T>(b * c + a * s);
    }
    store_vec(x + i, new_low);
    store_vec(x + half + i, new_high);
    if (cache) {
      store_vec(cache + i, new_low);
      store_vec(cache + half + i, new_high);
    }
  }
}

}  // namespace

void launch_rope_table(const Launch& to, TensorView cos_sin, const float* inv_freq, const int32_t* positions) {
  const auto blocks = static_cast<unsigned>(divide_up(cos_sin.rows * (cos_sin.cols / 2), kThreads));
  rope_table_kernel<<<blocks, kThreads, 0, to.stream>>>(cos_sin, inv_freq, positions);
  check_launch("rope_table");
}

void launch_norm_rope_store(const Launch& to, TensorView qkv, const HeadLayout& heads, AnyVector q_norm, AnyVector k_norm,
                            float eps, TensorView cos_sin, const int64_t* kv_index, const PagedKv& kv) {
  const StoreParams p = {qkv,  cos_sin,       q_norm,         k_norm,         eps,          kv_index, kv.k,
                         kv.v, heads.q_heads, heads.kv_heads, heads.head_dim, kv.block_size};
  const auto blocks = static_cast<unsigned>(divide_up(qkv.rows * (heads.q_heads + 2 * heads.kv_heads), kWarps));
  const size_t pair_bytes = 2 * size_of(qkv.dtype);
  const bool vectors = heads.head_dim % 4 == 0 && rows_aligned(qkv, 2) && rows_aligned(cos_sin, 4) &&
                       aligned_to(kv.k, pair_bytes) && aligned_to(kv.v, pair_bytes);
  dispatch_float(qkv.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (vectors) {
      norm_rope_store_kernel<T, 2><<<blocks, kThreads, 0, to.stream>>>(p);
    } else {
      norm_rope_store_kernel<T, 1><<<blocks, kThreads, 0, to.stream>>>(p);
    }
  });
  check_launch("norm_rope_store");
}

}  // namespace lockstep::cuda
