// Filling parameters, and the read that measures bandwidth.
#include "kernels/cuda/convert.cuh"
#include "kernels/random.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

unsigned grid_stride_blocks(const Launch& to, int64_t n) {
  const int64_t wanted = divide_up(n, kThreads);
  const int64_t most = static_cast<int64_t>(to.sm_count) * 16;
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

template <typename T, typename Value>
__device__ __forceinline__ void fill_elements(const TensorView& out, Value value) {
  const int64_t n = out.rows * out.cols;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t r = i / out.cols;
    const int64_t c = i - r * out.cols;
    static_cast<T*>(out.data)[r * out.stride + c] = value(r, c);
  }
}

template <typename T>
__global__ void fill_kernel(TensorView out, T value) {
  fill_elements<T>(out, [=](int64_t, int64_t) { return value; });
}

template <typename T>
__global__ void fill_random_kernel(TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0, int64_t full_cols) {
  fill_elements<T>(out, [=](int64_t r, int64_t c) {
    return from_float<T>(dummy_weight(seed, static_cast<uint64_t>((row0 + r) * full_cols + col0 + c), scale));
  });
}

template <typename T>
__global__ void fill_float_kernel(TensorView out, float value) {
  fill_elements<T>(out, [=](int64_t, int64_t) { return from_float<T>(value); });
}

__global__ void __launch_bounds__(512) read_kernel(const uint4* __restrict__ data, size_t n, uint32_t* sink) {
  constexpr int kUnroll = 8;
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  uint32_t sum = 0;
  for (; i + (kUnroll - 1) * stride < n; i += kUnroll * stride) {
    uint4 x[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) x[u] = __ldcs(data + i + u * stride);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) sum += x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
  }
  for (; i < n; i += stride) {
    const uint4 x = __ldcs(data + i);
    sum += x.x ^ x.y ^ x.z ^ x.w;
  }
  sum = __reduce_add_sync(0xffffffffu, sum);
  if (threadIdx.x % 32 == 0) atomicAdd(sink, sum);
}

}  // namespace

void launch_fill(const Launch& to, TensorView out, float value) {
  const unsigned blocks = grid_stride_blocks(to, out.count());
  if (out.dtype == DType::kInt32) {
    fill_kernel<int32_t><<<blocks, kThreads, 0, to.stream>>>(out, static_cast<int32_t>(value));
  } else {
    dispatch_float(out.dtype, [&](auto tag) {
      fill_float_kernel<typename decltype(tag)::type><<<blocks, kThreads, 0, to.stream>>>(out, value);
    });
  }
  check_launch("fill");
}

void launch_fill_random(const Launch& to, TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0,
                        int64_t full_cols) {
  dispatch_float(out.dtype, [&](auto tag) {
    fill_random_kernel<typename decltype(tag)::type>
        <<<grid_stride_blocks(to, out.count()), kThreads, 0, to.stream>>>(out, seed, scale, row0, col0, full_cols);
  });
  check_launch("fill_random");
}

void launch_read(const Launch& to, const void* data, size_t bytes, uint32_t* sink) {
  read_kernel<<<static_cast<unsigned>(to.sm_count) * 4, 512, 0, to.stream>>>(static_cast<const uint4*>(data), bytes / 16, sink);
  check_launch("bandwidth probe");
}

}  // namespace lockstep::cuda
