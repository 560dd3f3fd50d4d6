// Rotary embedding: its table, and QK-norm + rotation + the write to the KV cache in one kernel.
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/rope.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

// One thread a (token, pair).
__global__ void rope_table_kernel(TensorView cos_sin, const float* inv_freq, const int32_t* positions) {
  start_next();
  wait_for_previous();
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

// kLanes neighbouring lanes a (token, head), N neighbouring pairs a lane at a time.
template <typename T, int kLanes, int N>
__global__ void __launch_bounds__(kThreads) norm_rope_store_kernel(StoreParams p) {
  start_next();
  wait_for_previous();
  const int sub = threadIdx.x % kLanes;
  const int64_t item = static_cast<int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes;
  const int heads = p.q_heads + 2 * p.kv_heads;
  const int64_t t = item / heads;
  if (t >= p.qkv.rows) return;  // all lanes of the head
  const int head = static_cast<int>(item - t * heads);
  const int dim = p.head_dim;
  T* x = static_cast<T*>(p.qkv.data) + t * p.qkv.stride + static_cast<int64_t>(head) * dim;

  // Where this head goes in the cache; nullptr for a query head and for a padded token.
  T* cache = nullptr;
  const bool is_v = head >= p.q_heads + p.kv_heads;
  if (head >= p.q_heads && p.kv_index[t] >= 0) {
    const int kv_head = head - p.q_heads - (is_v ? p.kv_heads : 0);
    cache = static_cast<T*>(is_v ? p.v : p.k) + kv_row(p.kv_index[t], kv_head, p.kv_heads, p.block_size) * dim;
  }
  if (is_v) {
    if (cache == nullptr) return;
    constexpr int kWidth = N == 1 ? 1 : 2 * N;
    for (int i = sub * kWidth; i < dim; i += kLanes * kWidth) store_vec(cache + i, load_vec<kWidth>(x + i));
    return;
  }
  const float* cos_sin = static_cast<const float*>(p.cos_sin.data) + t * p.cos_sin.stride;
  norm_rope_head<kLanes, N>(x, dim, head < p.q_heads ? p.q_norm : p.k_norm, p.eps, cos_sin, sub,
                            [&](int i, const Vec<T, N>& low, const Vec<T, N>& high) {
                              store_vec(x + i, low);
                              store_vec(x + dim / 2 + i, high);
                              if (cache) {
                                store_vec(cache + i, low);
                                store_vec(cache + dim / 2 + i, high);
                              }
                            });
}

template <typename T, int kLanes, int N>
void launch_store(const Launch& to, const StoreParams& p) {
  const int64_t heads = p.qkv.rows * (p.q_heads + 2 * p.kv_heads);
  launch_kernel(to, norm_rope_store_kernel<T, kLanes, N>, dim3(static_cast<unsigned>(divide_up(heads, kThreads / kLanes))),
                dim3(kThreads), 0, p);
}

}  // namespace

void launch_rope_table(const Launch& to, TensorView cos_sin, const float* inv_freq, const int32_t* positions) {
  const auto blocks = static_cast<unsigned>(divide_up(cos_sin.rows * (cos_sin.cols / 2), kThreads));
  // The step's first op: it waits for what has written the batch, so that later kernels may read the batch, and what earlier
  // steps have left in the cache, while they overlap.
  Launch alone = to;
  alone.overlap = false;
  launch_kernel(alone, rope_table_kernel, dim3(blocks), dim3(kThreads), 0, cos_sin, inv_freq, positions);
  check_launch("rope_table");
}

void launch_norm_rope_store(const Launch& to, TensorView qkv, const HeadLayout& heads, AnyVector q_norm, AnyVector k_norm,
                            float eps, TensorView cos_sin, const int64_t* kv_index, const PagedKv& kv) {
  const StoreParams p = {qkv,  cos_sin,       q_norm,         k_norm,         eps,          kv_index, kv.k,
                         kv.v, heads.q_heads, heads.kv_heads, heads.head_dim, kv.block_size};
  // N pairs of elements, of angles, and 2 N elements of v at a time.
  const auto vectors = [&](int64_t n) {
    const size_t bytes = static_cast<size_t>(2 * n) * size_of(qkv.dtype);
    return heads.head_dim % (2 * n) == 0 && rows_aligned(qkv, 2 * n) && rows_aligned(cos_sin, 4) && aligned_to(kv.k, bytes) &&
           aligned_to(kv.v, bytes);
  };
  dispatch_float(qkv.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    // The decode kernel has 16 lanes of 4 pairs; these give the same bits.
    if (sizeof(T) == 2 && vectors(4) && heads.head_dim <= 64) {
      launch_store<T, 8, 4>(to, p);
    } else if (sizeof(T) == 2 && vectors(4)) {
      launch_store<T, 16, 4>(to, p);
    } else if (vectors(2)) {
      launch_store<T, 16, 2>(to, p);
    } else {
      launch_store<T, 32, 1>(to, p);
    }
  });
  check_launch("norm_rope_store");
}

}  // namespace lockstep::cuda
