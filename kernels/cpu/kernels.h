// CpuKernels: the inner loops of the CPU backend, compiled once for each instruction set and chosen at run time.
//
// The files kernels_<isa>.cpp include the same *_impl.h with another simd.h vector. Whatever they define has internal
// linkage and they use nothing of the standard library that could be emitted as an inline function, so that no instruction of
// a newer processor reaches the rest of the program through the linker's choice among equal symbols. For the same reason the
// arguments here are plain pointers.
//
// Order of summation: a dot product over K is cut into K-blocks, equal but for the last, of at most kBlockK32 or kBlockK16
// elements; K and the dtype of x alone decide. Within a block, lane l of one vector accumulator takes the elements l, l + W, l +
// 2 W, ... in order (W: lanes of the instruction set; with products of bfloat16, pairs of elements); then the lanes are added by
// halves; the blocks are added in order. Every path does exactly this, so that an output depends on its own row alone: not on the
// other rows of the batch, not on the number of threads, not on the tiling.
//
// With AMX, linears of bfloat16 have an order of their own (amx_impl.h), which k alone decides, too.
//
// With AVX-512 BF16 or AMX, operands that meet bfloat16 weights, keys or values are rounded to bfloat16 first, as a model in
// bfloat16 would; the processor multiplies them exactly and adds in float32, with denormal numbers taken for zeros.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace lockstep::cpu {

// Longest K-blocks, in elements of x. float32: ten rows, a tile's x and w, fit into a first-level cache of 32 KiB. bfloat16:
// fewer additions of lanes are worth more than that, measured on Zen 4.
inline constexpr int64_t kBlockK32 = 640;
inline constexpr int64_t kBlockK16 = 2048;
// Rows of w that linear_blocked makes ready at a time, which lie in the second-level cache. A multiple of every instruction set's
// tile.
inline constexpr int64_t kBlockN = 120;
// Where rows of x are dealt among threads, each gets a multiple of this.
inline constexpr int64_t kPartM = 32;
// Of a tile that pack_operand() makes: rows of x at most, and elements of a row, of which it has a whole number.
inline constexpr int64_t kPackedRows = 16, kPackedK = 32;
// Bytes of scratch that linear_blocked needs.
inline constexpr int64_t kLinearScratchBytes = kBlockN * 4096;

struct LinearArgs {
  const void* x = nullptr;          // [m, k], rows x_stride elements apart; or as pack_operand() made it, tile after tile
  DType x_dtype = DType::kFloat32;  // or bfloat16, with bfloat16 weights, where bf16_products
  int64_t x_stride = 0;
  const void* w = nullptr;  // [n, k], rows w_stride apart
  int64_t w_stride = 0;
  DType w_dtype = DType::kFloat32;
  const void* bias = nullptr;  // [n] or null
  DType bias_dtype = DType::kFloat32;
  float* out = nullptr;  // [m, n], rows out_stride apart
  int64_t out_stride = 0;
  int64_t k = 0;
};

// Context positions that one attention task covers; chunks begin at multiples of it, whatever the batch.
inline constexpr int64_t kAttentionChunk = 256;
// Rows (query token, query head) of one attention task.
inline constexpr int64_t kAttentionRows = 64;
inline constexpr int64_t kMaxHeadDim = 1024;
// Positions whose scores are computed together, at most; divides kAttentionChunk.
inline constexpr int64_t kMaxScoreGroup = 64;

// One chunk of context against the rows of one task, all of which share a KV head.
struct AttentionChunkArgs {
  int64_t rows = 0;
  const float* const* q = nullptr;  // [rows] pointers to [head_dim]
  const int64_t* limit = nullptr;   // [rows] positions of the chunk that the row may see, 0..kAttentionChunk, ascending
  int64_t positions = 0;            // the largest limit
  const void* const* k = nullptr;   // [positions] pointers to [head_dim] of kv_dtype
  const void* const* v = nullptr;
  DType kv_dtype = DType::kFloat32;
  int64_t head_dim = 0;
  int64_t row_bytes = 0;  // head_dim elements of kv_dtype
  float scale = 1.0f;
  // The keys of the chunk that the same thread will do next, which are asked of memory in time; pointers as in k.
  int64_t next_positions = 0;
  const void* const* next_k = nullptr;
  float* scores = nullptr;     // scratch [rows, kAttentionChunk]
  float* converted = nullptr;  // scratch [kAttentionChunk, head_dim rounded up to kMaxLanes]
  float* turned = nullptr;     // scratch [head_dim, kMaxScoreGroup]
  // Results: out[r] = sum over positions of exp(score - max[r]) * v, sum[r] = sum of exp(score - max[r]).
  float* max = nullptr;  // [rows]; rows with limit 0: -infinity
  float* sum = nullptr;  // [rows]; 0
  float* out = nullptr;  // [rows, head_dim]; zeros
};
inline constexpr int64_t kMaxLanes = 16;

struct NormRopeArgs {
  float* qkv = nullptr;  // one token: [(q_heads + 2 kv_heads) * head_dim], changed in place
  int64_t q_heads = 0, kv_heads = 0, head_dim = 0;
  const void* q_norm = nullptr;  // [head_dim] or null
  const void* k_norm = nullptr;
  DType q_norm_dtype = DType::kFloat32;
  DType k_norm_dtype = DType::kFloat32;
  float eps = 0.0f;
  const float* cos_sin = nullptr;  // [head_dim / 2][2]
  void* k_cache = nullptr;         // head 0's place for this token; head h is h * head_stride elements further
  void* v_cache = nullptr;
  int64_t head_stride = 0;
  DType kv_dtype = DType::kFloat32;
};

// One digit of the search for a threshold (kernels/threshold_search.h): which logits count, and what they weigh.
inline constexpr int64_t kDigitValues = 256;  // kSearchDigitValues; that header's inline functions must not come in here
inline constexpr int64_t kDigitCopies = 4;    // neighbours are added to different ones
struct DigitWeightsArgs {
  float lowest = 0.0f, highest = 0.0f;  // the logits that count, both included
  int32_t shift = 0;                    // of the digit in ordered_bits()
  bool of_mass = false;                 // a logit weighs its mass_of(); else 1
  float top = 0.0f;                     // where the mass is largest
  float inv_temperature = 0.0f;
  uint64_t* weights = nullptr;  // [kDigitCopies, kDigitValues], added to; their sum is the result
};

struct CpuKernels {
  const char* isa;
  bool bf16_products;  // bfloat16 weights, keys and values are multiplied as they are; what they meet is rounded to bfloat16
  int tile_n;          // rows of w that go through a tile together; threads get multiples of it

  // Up to this many rows of x linear_stream is the faster of the two.
  int max_stream_rows;
  // out[0..m) x [n_begin, n_end) for few rows: passes over w once, in its own dtype.
  void (*linear_stream)(const LinearArgs& args, int64_t m, int64_t n_begin, int64_t n_end);
  // out[m_begin..m_end) x [n_begin, n_end) for many rows: packs w block by block, in the dtype of x. scratch:
  // kLinearScratchBytes, 64-byte aligned. m_begin is a multiple of kPartM.
  void (*linear_blocked)(const LinearArgs& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, void* scratch);
  // Null: x goes to bfloat16 weights by rows. Else rows [0, rows) of x, at most tile_rows, become a packed tile of k rounded up
  // to kPackedK times tile_rows elements of bfloat16; tile_rows: kPackedRows, or all rows of x if it has fewer.
  void (*pack_operand)(void* to, const float* x, int64_t x_stride, int64_t rows, int64_t tile_rows, int64_t k);

  void (*attention_chunk)(const AttentionChunkArgs& args);
  // Adds a partial result of the chunk that follows to the running one: maxima and sums are scalars, out and next_out [n].
  void (*attention_merge)(float* max, float* sum, float* out, float next_max, float next_sum, const float* next_out, int64_t n);
  // out[i] = in[i] / sum.
  void (*divide)(float* out, const float* in, float sum, int64_t n);

  // x[i] += sum[i] + bias[i]; bias may be null.
  void (*add_sum)(float* x, const float* sum, const void* bias, DType bias_dtype, int64_t n);
  void (*rms_norm)(float* out, const float* x, const void* weight, DType weight_dtype, float eps, int64_t n);
  void (*norm_rope_store)(const NormRopeArgs& args);
  void (*silu_mul)(float* out, const float* gate, const float* up, int64_t n);
  void (*to_float)(float* out, const void* in, DType in_dtype, int64_t n);
  void (*from_float)(void* out, DType out_dtype, const float* in, int64_t n);

  // out[b] = the largest of x[b * kMaxBlock ..] that is not NaN; -infinity when there is none.
  void (*block_max)(float* out, const float* x, int64_t n);
  // Sum of exp((x[i] - max) * inv_temperature); NaN if an element is.
  double (*sum_exp)(const float* x, float max, float inv_temperature, int64_t n);
  // Adds what each of x[0..n) weighs that lies in the range of `args` to the entry of its digit; NaN lies in none.
  void (*digit_weights)(const float* x, int64_t n, const DigitWeightsArgs& args);
  // Reads [data, data + bytes) and returns something that depends on all of it; bytes is a multiple of 1024.
  float (*read_all)(const void* data, int64_t bytes);
};
inline constexpr int64_t kMaxBlock = 64;

const CpuKernels& scalar_kernels();
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();
const CpuKernels& avx512bf16_kernels();
const CpuKernels& amxbf16_kernels();

// The best that the processor has and `cap` allows ("": no cap). Throws Error for another name.
const CpuKernels& choose_kernels(const char* cap);

}  // namespace lockstep::cpu
