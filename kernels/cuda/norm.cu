// RMSNorm and the seam after each AllReduce: residual += sum + bias, then RMSNorm of the residual. One block a row.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.cuh"

namespace lockstep::cuda {
namespace {

// Vectors of a row that a thread keeps in registers between the two passes; a longer row is read again.
constexpr int kCached = 4;

// N elements a vector. kAdd: there is a sum, of type TS, and the residual is written back.
template <typename TO, typename TS, int N, bool kAdd>
__global__ void __launch_bounds__(1024)
    rms_norm_kernel(TensorView out, TensorView residual, TensorView sum, AnyVector bias, AnyVector weight, float eps) {
  __shared__ float shared[32];
  start_next();
  const int64_t t = blockIdx.x;
  const int64_t cols = out.cols;
  const int64_t step = static_cast<int64_t>(blockDim.x) * N;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * N;
  float* x = static_cast<float*>(residual.data) + t * residual.stride;
  const TS* addend = static_cast<const TS*>(sum.data) + t * sum.stride;
  TO* y = static_cast<TO*>(out.data) + t * out.stride;

  Vec<float, N> weights[kCached];  // may come from far away; they are here when the kernel before has ended
#pragma unroll
  for (int i = 0; i < kCached; ++i) {
    if (first + i * step < cols) weights[i] = load_any<N>(weight, first + i * step);
  }
  wait_for_previous();

  float squares = 0.0f;
  const auto first_pass = [&](int64_t c) {
    Vec<float, N> v = load_vec<N>(x + c);
    if constexpr (kAdd) {
      const Vec<TS, N> s = load_vec<N>(addend + c);
      Vec<float, N> b = {};
      if (bias.data) b = load_any<N>(bias, c);
#pragma unroll
      for (int j = 0; j < N; ++j) v.v[j] += to_float(s.v[j]) + b.v[j];
      store_vec(x + c, v);
    }
#pragma unroll
    for (int j = 0; j < N; ++j) squares += v.v[j] * v.v[j];
    return v;
  };

  Vec<float, N> cached[kCached];
#pragma unroll
  for (int i = 0; i < kCached; ++i) {
    if (first + i * step < cols) cached[i] = first_pass(first + i * step);
  }
  for (int64_t c = first + kCached * step; c < cols; c += step) first_pass(c);

  squares = block_reduce(squares, 0.0f, shared, Sum());
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(cols) + eps);

  const auto second_pass = [&](int64_t c, const Vec<float, N>& v, const Vec<float, N>& w) {
    Vec<TO, N> o;
#pragma unroll
    for (int j = 0; j < N; ++j) o.v[j] = from_float<TO>(v.v[j] * scale * w.v[j]);
    store_vec(y + c, o);
  };
#pragma unroll
  for (int i = 0; i < kCached; ++i) {
    if (first + i * step < cols) second_pass(first + i * step, cached[i], weights[i]);
  }
  // Each thread reads only what it wrote itself.
  for (int64_t c = first + kCached * step; c < cols; c += step) second_pass(c, load_vec<N>(x + c), load_any<N>(weight, c));
}

template <typename TO, typename TS, bool kAdd>
void launch(const Launch& to, const TensorView& out, const TensorView& residual, const TensorView& sum, const AnyVector& bias,
            const AnyVector& weight, float eps) {
  const bool vectors = rows_aligned(out, 4) && rows_aligned(residual, 4) && (!kAdd || rows_aligned(sum, 4)) &&
                       vector_aligned(bias, 4) && vector_aligned(weight, 4);
  // Few rows: as many threads as it takes to have a row soon. Many: as many rows at a time as a multiprocessor takes.
  const int64_t vectors_a_thread = out.rows > 4 * to.sm_count && !to.batch_invariant ? kCached : 1;
  const int64_t items = divide_up(vectors ? out.cols / 4 : out.cols, vectors_a_thread);
  const auto threads = static_cast<unsigned>(items >= 1024 ? 1024 : divide_up(items, 32) * 32);
  const auto rows = static_cast<unsigned>(out.rows);
  if (vectors) {
    launch_kernel(to, rms_norm_kernel<TO, TS, 4, kAdd>, rows, threads, 0, out, residual, sum, bias, weight, eps);
  } else {
    launch_kernel(to, rms_norm_kernel<TO, TS, 1, kAdd>, rows, threads, 0, out, residual, sum, bias, weight, eps);
  }
}

}  // namespace

void launch_rms_norm(const Launch& to, TensorView out, TensorView residual, TensorView sum, AnyVector bias, AnyVector weight,
                     float eps) {
  dispatch_float(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (sum.data == nullptr) {
      launch<T, float, false>(to, out, residual, sum, bias, weight, eps);
    } else if (sum.dtype == DType::kFloat32) {
      launch<T, float, true>(to, out, residual, sum, bias, weight, eps);
    } else {
      launch<T, T, true>(to, out, residual, sum, bias, weight, eps);
    }
  });
  check_launch(sum.data ? "add_rms_norm" : "rms_norm");
}

}  // namespace lockstep::cuda
