// Ops that move or combine elements one by one. Each block works on one row (blockIdx.x) and one run of its columns.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

// One thread a vector of N elements.
dim3 row_grid(int64_t rows, int64_t cols, int n) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(divide_up(cols, static_cast<int64_t>(n) * kThreads)));
}

// The column that this thread starts at.
template <int N>
__device__ __forceinline__ int64_t thread_column() {
  return (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * N;
}

__global__ void scatter_kernel(int32_t* to, const int64_t* places, const int32_t* values, int64_t n) {
  start_next();
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n && places[i] >= 0) to[places[i]] = values[i];
}

__global__ void resolve_tokens_kernel(int32_t* token_ids, const int32_t* token_slot, const int32_t* last_token, int32_t n) {
  start_next();
  wait_for_previous();
  const int t = blockIdx.x * kThreads + threadIdx.x;
  if (t < n && token_ids[t] < 0) token_ids[t] = last_token[token_slot[t]];
}

template <typename T, int N>
__global__ void embedding_kernel(TensorView out, TensorView table, int64_t vocab_begin, const int32_t* token_ids) {
  start_next();
  wait_for_previous();
  const int64_t t = blockIdx.x;
  const int64_t c = thread_column<N>();
  if (c >= out.cols) return;
  const int64_t id = token_ids[t] - vocab_begin;
  Vec<float, N> y = {};
  if (id >= 0 && id < table.rows) {
    const Vec<T, N> x = load_vec<N>(static_cast<const T*>(table.data) + id * table.stride + c);
#pragma unroll
    for (int j = 0; j < N; ++j) y.v[j] = to_float(x.v[j]);
  }
  store_vec(static_cast<float*>(out.data) + t * out.stride + c, y);
}

template <typename T, int N>
__global__ void silu_mul_kernel(TensorView out, TensorView gate_up) {
  start_next();
  wait_for_previous();
  const int64_t t = blockIdx.x;
  const int64_t c = thread_column<N>();
  if (c >= out.cols) return;
  const T* row = static_cast<const T*>(gate_up.data) + t * gate_up.stride;
  const Vec<T, N> gate = load_vec<N>(row + c);
  const Vec<T, N> up = load_vec<N>(row + out.cols + c);
  Vec<T, N> y;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float g = to_float(gate.v[j]);
    y.v[j] = from_float<T>(g / (1.0f + expf(-g)) * to_float(up.v[j]));
  }
  store_vec(static_cast<T*>(out.data) + t * out.stride + c, y);
}

template <typename T, int N>
__global__ void add_bias_kernel(TensorView out, AnyVector bias) {
  start_next();
  wait_for_previous();
  const int64_t c = thread_column<N>();
  if (c >= out.cols) return;
  T* p = static_cast<T*>(out.data) + static_cast<int64_t>(blockIdx.x) * out.stride + c;
  Vec<T, N> y = load_vec<N>(p);
  const Vec<float, N> b = load_any<N>(bias, c);
#pragma unroll
  for (int j = 0; j < N; ++j) y.v[j] = from_float<T>(to_float(y.v[j]) + b.v[j]);
  store_vec(p, y);
}

// Unit: any type of the width of one access. Lengths and pitches in units.
template <typename Unit>
__global__ void gather_rows_kernel(Unit* out, int64_t out_stride, const Unit* x, int64_t x_stride, int64_t units,
                                   const int32_t* rows) {
  start_next();
  wait_for_previous();
  const int64_t c = thread_column<1>();
  if (c >= units) return;
  out[static_cast<int64_t>(blockIdx.x) * out_stride + c] = x[rows[blockIdx.x] * x_stride + c];
}

template <typename Unit>
void gather_as(const Launch& to, const TensorView& out, const TensorView& x, const int32_t* rows) {
  const int64_t per_unit = sizeof(Unit) / size_of(x.dtype);
  const int64_t units = out.cols / per_unit;
  launch_kernel(to, gather_rows_kernel<Unit>, row_grid(out.rows, units, 1), kThreads, 0, static_cast<Unit*>(out.data),
                out.stride / per_unit, static_cast<const Unit*>(x.data), x.stride / per_unit, units, rows);
}

}  // namespace

void launch_scatter(const Launch& to, int32_t* out, const int64_t* places, const int32_t* values, int64_t n) {
  launch_kernel(to, scatter_kernel, static_cast<unsigned>(divide_up(n, kThreads)), kThreads, 0, out, places, values, n);
  check_launch("scatter");
}

void launch_resolve_tokens(const Launch& to, const BatchView& batch, const int32_t* last_token) {
  const auto blocks = static_cast<unsigned>(divide_up(batch.num_tokens, kThreads));
  launch_kernel(to, resolve_tokens_kernel, blocks, kThreads, 0, batch.token_ids, batch.token_slot, last_token, batch.num_tokens);
  check_launch("resolve_tokens");
}

void launch_embedding(const Launch& to, TensorView out, TensorView table, int64_t vocab_begin, const int32_t* token_ids) {
  dispatch_float(table.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (rows_aligned(out, 4) && rows_aligned(table, 4)) {
      launch_kernel(to, embedding_kernel<T, 4>, row_grid(out.rows, out.cols, 4), kThreads, 0, out, table, vocab_begin, token_ids);
    } else {
      launch_kernel(to, embedding_kernel<T, 1>, row_grid(out.rows, out.cols, 1), kThreads, 0, out, table, vocab_begin, token_ids);
    }
  });
  check_launch("embedding");
}

void launch_silu_mul(const Launch& to, TensorView out, TensorView gate_up) {
  dispatch_float(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = 16 / sizeof(T);
    if (rows_aligned(out, N) && rows_aligned(gate_up, N)) {
      launch_kernel(to, silu_mul_kernel<T, N>, row_grid(out.rows, out.cols, N), kThreads, 0, out, gate_up);
    } else {
      launch_kernel(to, silu_mul_kernel<T, 1>, row_grid(out.rows, out.cols, 1), kThreads, 0, out, gate_up);
    }
  });
  check_launch("silu_mul");
}

void launch_gather_rows(const Launch& to, TensorView out, TensorView x, const int32_t* rows) {
  const int64_t per_16_bytes = static_cast<int64_t>(16 / size_of(x.dtype));
  if (rows_aligned(out, per_16_bytes) && rows_aligned(x, per_16_bytes)) {
    gather_as<uint4>(to, out, x, rows);
  } else if (size_of(x.dtype) == 4) {
    gather_as<uint32_t>(to, out, x, rows);
  } else {
    gather_as<uint16_t>(to, out, x, rows);
  }
  check_launch("gather_rows");
}

void launch_add_bias(const Launch& to, TensorView out, AnyVector bias) {
  dispatch_float(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (rows_aligned(out, 4) && vector_aligned(bias, 4)) {
      launch_kernel(to, add_bias_kernel<T, 4>, row_grid(out.rows, out.cols, 4), kThreads, 0, out, bias);
    } else {
      launch_kernel(to, add_bias_kernel<T, 1>, row_grid(out.rows, out.cols, 1), kThreads, 0, out, bias);
    }
  });
  check_launch("linear bias");
}

}  // namespace lockstep::cuda
