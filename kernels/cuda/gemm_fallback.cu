// linear for what cuBLASLt does not take (odd strides and alignments in 16-bit types): a plain tiled product on the float32
// units, element-wise loads, right for every shape.
#include "kernels/cuda/convert.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kTile = 64;      // of M and of N
constexpr int kDepth = 16;     // of K
constexpr int kThreads = 256;  // 16 x 16, each computing 4 x 4 outputs, 16 apart

template <typename T, typename TO>
__global__ void __launch_bounds__(kThreads) fallback_linear_kernel(TensorView out, TensorView x, TensorView w, AnyVector bias) {
  __shared__ float xs[kDepth][kTile + 1];
  __shared__ float ws[kDepth][kTile + 1];
  const int tx = threadIdx.x % 16;
  const int ty = threadIdx.x / 16;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t m0 = static_cast<int64_t>(blockIdx.y) * kTile;
  const T* x_data = static_cast<const T*>(x.data);
  const T* w_data = static_cast<const T*>(w.data);

  float sums[4][4] = {};
  for (int64_t k0 = 0; k0 < x.cols; k0 += kDepth) {
    for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads) {
      const int r = i / kDepth;
      const int c = i % kDepth;
      const bool inside = k0 + c < x.cols;
      xs[c][r] = inside && m0 + r < x.rows ? to_float(x_data[(m0 + r) * x.stride + k0 + c]) : 0.0f;
      ws[c][r] = inside && n0 + r < w.rows ? to_float(w_data[(n0 + r) * w.cols + k0 + c]) : 0.0f;
    }
    __syncthreads();
    float part[4][4] = {};  // sums of sums lose less than one long sum
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float a[4], b[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a[i] = xs[k][ty + 16 * i];
        b[i] = ws[k][tx + 16 * i];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) part[i][j] += a[i] * b[j];
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[i][j] += part[i][j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t m = m0 + ty + 16 * i;
      const int64_t n = n0 + tx + 16 * j;
      if (m >= out.rows || n >= out.cols) continue;
      const float b = bias.data ? load_any<1>(bias, n).v[0] : 0.0f;
      static_cast<TO*>(out.data)[m * out.stride + n] = from_float<TO>(sums[i][j] + b);
    }
  }
}

}  // namespace

void launch_fallback_linear(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias) {
  constexpr int64_t kMaxRows = 65535ll * kTile;  // of one launch: the grid's second dimension
  for (int64_t m = 0; m < x.rows; m += kMaxRows) {
    const int64_t rows = x.rows - m < kMaxRows ? x.rows - m : kMaxRows;
    const TensorView some_out = out.slice_rows(m, rows);
    const TensorView some_x = x.slice_rows(m, rows);
    const dim3 grid(static_cast<unsigned>(divide_up(w.rows, kTile)), static_cast<unsigned>(divide_up(rows, kTile)));
    dispatch_float(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if (out.dtype == DType::kFloat32) {
        fallback_linear_kernel<T, float><<<grid, kThreads, 0, to.stream>>>(some_out, some_x, w, bias);
      } else {
        fallback_linear_kernel<T, T><<<grid, kThreads, 0, to.stream>>>(some_out, some_x, w, bias);
      }
    });
  }
  check_launch("linear");
}

}  // namespace lockstep::cuda
