// linear for 1 to 8 rows of 16-bit x: out[m, n] = sum_k x[m, k] w[n, k] + bias[n], limited by how fast w streams from memory.
//
// Each warp multiplies, on the tensor cores, x (padded to 16 rows) by tiles of 8 rows of w. The order of k within a product is
// free as long as x and w agree, so a lane fetches 8 neighbouring elements (16 bytes) of one row of w and of one row of x, and
// they are the operands of two mma of depth 16 as they come: no shuffles, no conversions. The fetches are asynchronous copies to
// shared memory, where a lane reads back only what it fetched itself: a queue that keeps many of them in flight and needs no
// barrier. The warps of a block share its rows of w and take turns along K; their sums meet in a fixed order.
#include "kernels/cuda/mma.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kStages = 6;       // steps in flight a warp
constexpr int kStep = 32;        // elements of K a step: 4 lanes of 8
constexpr int kMaxRows = 8;      // of x
constexpr int kTileColumns = 8;  // rows of w a tile

// What one warp has in flight: of x, and of each tile of w.
template <int kTiles>
struct Queue {
  uint4 x[kStages][32];
  uint4 w[kStages][kTiles][32];
};

// kTiles tiles of w a block.
template <typename T, typename TO, int kTiles>
__global__ void __launch_bounds__(kWarps * 32) skinny_linear_kernel(TensorView out, TensorView x, TensorView w, AnyVector bias) {
  extern __shared__ uint4 skinny_shared[];
  __shared__ float partial[kWarps][kTiles][kMaxRows][kTileColumns];
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int g = lane / 4;  // row of x and row of a tile of w that this lane loads
  const int q = lane % 4;
  const int64_t K = x.cols;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x) * kTiles * kTileColumns;

  // Rows past the end of x and w repeat another; what comes of them is not stored.
  const T* x_row = static_cast<const T*>(x.data) + (g < x.rows ? g : 0) * x.stride + q * 8;
  const T* w_row[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int64_t n = n0 + i * kTileColumns + g;
    w_row[i] = static_cast<const T*>(w.data) + (n < w.rows ? n : w.rows - 1) * K + q * 8;
  }

  Queue<kTiles>& queue = reinterpret_cast<Queue<kTiles>*>(skinny_shared)[warp];
  // K is a multiple of 8; past its end come zeros.
  const auto fetch = [&](int64_t k, int stage) {
    const bool inside = k + q * 8 < K;
    const int64_t from = inside ? k : -q * 8;  // else within the row, and not read
    copy_async_16(&queue.x[stage][lane], x_row + from, inside);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) copy_async_16(&queue.w[stage][i][lane], w_row[i] + from, inside);
    copy_async_commit();
  };
  float sums[kTiles][4] = {};
  constexpr int kTurn = kWarps * kStep;  // of K, between the steps of a warp
  const int64_t first = warp * kStep;
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) fetch(first + i * kTurn, i);
  int stage = 0;
  for (int64_t k = first; k < K; k += kTurn) {
    fetch(k + (kStages - 1) * kTurn, stage == 0 ? kStages - 1 : stage - 1);  // where the step before was
    copy_async_wait<kStages - 1>();
    const uint4 a = queue.x[stage][lane];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const uint4 b = queue.w[stage][i][lane];
      mma_16x8x16<T>(sums[i], a.x, 0, a.y, 0, b.x, b.y);
      mma_16x8x16<T>(sums[i], a.z, 0, a.w, 0, b.z, b.w);
    }
    __syncwarp();  // read before it is overwritten
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  copy_async_wait_all();

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

template <typename T, typename TO, int kTiles>
void launch(const Launch& to, const TensorView& out, const TensorView& x, const TensorView& w, const AnyVector& bias) {
  constexpr int kBytes = static_cast<int>(kWarps * sizeof(Queue<kTiles>));
  static const cudaError_t raised =
      cudaFuncSetAttribute(skinny_linear_kernel<T, TO, kTiles>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  check_cuda(raised, "linear: shared memory");
  const auto blocks = static_cast<unsigned>(divide_up(w.rows, kTiles * kTileColumns));
  skinny_linear_kernel<T, TO, kTiles><<<blocks, kWarps * 32, kBytes, to.stream>>>(out, x, w, bias);
}

template <typename T, typename TO>
void launch_for_width(const Launch& to, const TensorView& out, const TensorView& x, const TensorView& w, const AnyVector& bias) {
  // Two tiles halve the traffic of x, one makes more blocks.
  if (w.rows >= static_cast<int64_t>(2 * kTileColumns) * 2 * to.sm_count) {
    launch<T, TO, 2>(to, out, x, w, bias);
  } else {
    launch<T, TO, 1>(to, out, x, w, bias);
  }
}

template <typename T>
void launch_for_output(const Launch& to, const TensorView& out, const TensorView& x, const TensorView& w, const AnyVector& bias) {
  if (out.dtype == DType::kFloat32) {
    launch_for_width<T, float>(to, out, x, w, bias);
  } else {
    launch_for_width<T, T>(to, out, x, w, bias);
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
