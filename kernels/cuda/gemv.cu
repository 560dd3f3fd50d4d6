// linear for 1 to 8 rows of 16-bit x: out[m, n] = sum_k x[m, k] w[n, k] + bias[n], limited by how fast w streams from memory.
//
// Each warp multiplies, on the tensor cores, x (padded to 16 rows) by tiles of 8 rows of w. The order of k within a product is
// free as long as x and w agree, so a lane loads 8 neighbouring elements (16 bytes) of one row of w and of one row of x, and
// they are the operands of two mma of depth 16 as they come: no shuffles, no shared memory, no conversions. The warps of a block
// share the block's rows of w and take turns along K; their partial sums meet in shared memory in a fixed order.
#include "kernels/cuda/mma.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kUnroll = 4;       // loads in flight per lane and row
constexpr int kStep = 32;        // elements of K that a warp covers with one load: 4 lanes of 8
constexpr int kMaxRows = 8;      // of x
constexpr int kTileColumns = 8;  // rows of w a tile

// kTiles tiles of w a block.
template <typename T, typename TO, int kTiles>
__global__ void __launch_bounds__(kWarps * 32) skinny_linear_kernel(TensorView out, TensorView x, TensorView w, AnyVector bias) {
  __shared__ float partial[kWarps][kTiles][kMaxRows][kTileColumns];
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int g = lane / 4;  // row of x and row of a tile of w that this lane loads
  const int q = lane % 4;
  const int64_t K = x.cols;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x) * kTiles * kTileColumns;

  const bool has_x = g < x.rows;
  const T* x_row = static_cast<const T*>(x.data) + (has_x ? g : 0) * x.stride + q * 8;
  const T* w_row[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int64_t n = n0 + i * kTileColumns + g;
    w_row[i] = static_cast<const T*>(w.data) + (n < w.rows ? n : w.rows - 1) * K + q * 8;  // what is past the end is not stored
  }

  float sums[kTiles][4] = {};
  for (int64_t k0 = warp * kStep * kUnroll; k0 < K; k0 += kWarps * kStep * kUnroll) {
    uint4 xs[kUnroll];
    uint4 ws[kUnroll][kTiles];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t k = k0 + u * kStep;
      const bool inside = k + q * 8 < K;  // K is a multiple of 8
#pragma unroll
      for (int i = 0; i < kTiles; ++i) ws[u][i] = inside ? load_streaming(w_row[i] + k) : make_uint4(0, 0, 0, 0);
      xs[u] = inside && has_x ? __ldg(reinterpret_cast<const uint4*>(x_row + k)) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        mma_16x8x16<T>(sums[i], xs[u].x, 0, xs[u].y, 0, ws[u][i].x, ws[u][i].y);
        mma_16x8x16<T>(sums[i], xs[u].z, 0, xs[u].w, 0, ws[u][i].z, ws[u][i].w);
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    partial[warp][i][g][2 * q] = sums[i][0];
    partial[warp][i][g][2 * q + 1] = sums[i][1];
  }
  __syncthreads();
  for (int j = threadIdx.x; j < kTiles * kMaxRows * kTileColumns; j += kWarps * 32) {
    const int tile = j / (kMaxRows * kTileColumns);
    const int m = j / kTileColumns % kMaxRows;
    const int column = j % kTileColumns;
    const int64_t n = n0 + tile * kTileColumns + column;
    if (m >= x.rows || n >= w.rows) continue;
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kWarps; ++i) sum += partial[i][tile][m][column];
    if (bias.data) sum += load_any<1>(bias, n).v[0];
    static_cast<TO*>(out.data)[m * out.stride + n] = from_float<TO>(sum);
  }
}

template <typename T, typename TO>
void launch(const Launch& to, const TensorView& out, const TensorView& x, const TensorView& w, const AnyVector& bias) {
  // Two tiles halve the traffic of x, one makes more blocks.
  if (w.rows >= static_cast<int64_t>(2 * kTileColumns) * 2 * to.sm_count) {
    const auto blocks = static_cast<unsigned>(divide_up(w.rows, 2 * kTileColumns));
    skinny_linear_kernel<T, TO, 2><<<blocks, kWarps * 32, 0, to.stream>>>(out, x, w, bias);
  } else {
    const auto blocks = static_cast<unsigned>(divide_up(w.rows, kTileColumns));
    skinny_linear_kernel<T, TO, 1><<<blocks, kWarps * 32, 0, to.stream>>>(out, x, w, bias);
  }
}

template <typename T>
void launch_for_output(const Launch& to, const TensorView& out, const TensorView& x, const TensorView& w, const AnyVector& bias) {
  if (out.dtype == DType::kFloat32) {
    launch<T, float>(to, out, x, w, bias);
  } else {
    launch<T, T>(to, out, x, w, bias);
  }
}

}  // namespace

bool skinny_linear_supports(TensorView x, TensorView w) {
  return size_of(x.dtype) == 2 && x.rows <= kMaxRows && rows_aligned(x, 8) && rows_aligned(w, 8);
}

void launch_skinny_linear(const Launch& to, TensorView out, TensorView x, TensorView w, AnyVector bias) {
  if (x.dtype == DType::kBFloat16) {
    launch_for_output<bf16>(to, out, x, w, bias);
  } else {
    launch_for_output<f16>(to, out, x, w, bias);
  }
  check_launch("linear");
}

}  // namespace lockstep::cuda
