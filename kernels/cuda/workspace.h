// Device memory that the CUDA backend takes for itself, whatever the model. Plain C++ without CUDA's headers, so that `lockstep
// plan` counts it on machines without CUDA, too.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace lockstep::cuda {

inline constexpr size_t kCublasWorkspaceBytes = size_t{32} << 20;  // what NVIDIA recommends for Hopper
inline constexpr size_t kCounters = 4096;                          // uint32_t
inline constexpr int kMaxStreamTokens = 64;                        // rows of x that linear_stream.cu takes
inline constexpr int kMaxAddNormTokens = 16;  // of linear_add_norm: for more, the end of a tile takes longer than a kernel
inline constexpr int64_t kMaxSquareParts = 1024;
inline constexpr size_t kSquaresBytes = static_cast<size_t>(kMaxStreamTokens * kMaxSquareParts) * sizeof(float);

// attention_decode.cu
namespace split_decode {
inline constexpr int kMaxHeads = 8;  // query heads a block
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kBlocksPerSm = 4;  // aimed at

// With more than one split there are fewer than kBlocksPerSm * sm_count blocks before the split, so fewer than twice that after
// it, of kMaxHeads heads each.
constexpr size_t scratch_bytes(int sm_count) {
  return static_cast<size_t>(2 * kBlocksPerSm) * static_cast<size_t>(sm_count) * kMaxHeads * (kMaxHeadDim + 2) * sizeof(float);
}
}  // namespace split_decode

// attention_decode_mma.cu
namespace mma_decode {
inline constexpr int kTileHeads = 8;
inline constexpr int kWaves = 2;           // of pieces, where there are many contexts: evens out their lengths
inline constexpr int kMaxCutContexts = 4;  // for each block that runs at a time; more even out by themselves
constexpr int blocks_per_sm(int dim, int tiles) { return dim <= 64 ? 4 : dim <= 128 && tiles == 1 ? 3 : 2; }

// There are at most kMaxCutContexts + kWaves pieces for each block that runs at a time. A row of a piece is its sum and, for
// every fourth element, two floats.
constexpr size_t scratch_bytes(int sm_count) {
  size_t most = 0;
  for (const int dim : {64, 128, 256}) {
    for (const int tiles : {1, 2}) {
      const auto pieces = static_cast<size_t>((kMaxCutContexts + kWaves) * blocks_per_sm(dim, tiles) * sm_count);
      const auto elements = static_cast<size_t>(tiles * kTileHeads * dim);
      most = std::max(most, pieces * elements * (sizeof(float) + 2 * sizeof(float) / 4));
    }
  }
  return most;
}
}  // namespace mma_decode

// Scratch that every launcher can live with on a device of `sm_count` multiprocessors.
constexpr size_t scratch_bytes_needed(int sm_count) {
  return std::max(split_decode::scratch_bytes(sm_count), mma_decode::scratch_bytes(sm_count));
}

// What a CudaBackend allocates when it is made.
constexpr size_t workspace_bytes(int sm_count) {
  return scratch_bytes_needed(sm_count) + kCounters * sizeof(uint32_t) + kSquaresBytes + kCublasWorkspaceBytes;
}

}  // namespace lockstep::cuda
