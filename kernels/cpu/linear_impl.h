// out = x . w^T + bias; see kernels.h for the contract and the order of summation.
#pragma once

#include "kernels/cpu/dot_impl.h"
#include "kernels/cpu/kernels.h"

namespace lockstep::cpu {
namespace {

// Adds one K-block's sums [mr, NR] to out, of which nr columns exist, or sets out if it is the first block.
template <int NR>
inline void accumulate(float* out, int64_t out_stride, const float* sums, int64_t mr, int64_t nr, bool first_block) {
  for (int64_t m = 0; m < mr; ++m) {
    float* o = out + m * out_stride;
    const float* s = sums + m * NR;
    if (nr == NR && first_block) {
      __builtin_memcpy(o, s, NR * sizeof(float));
    } else if (nr == NR) {
      float total[NR];
      for (int n = 0; n < NR; ++n) total[n] = o[n] + s[n];
      __builtin_memcpy(o, total, sizeof(total));
    } else {
      for (int64_t n = 0; n < nr; ++n) o[n] = first_block ? s[n] : o[n] + s[n];
    }
  }
}

// For m_begin..m_end and n_begin..n_end: zeros where k is 0, and the bias.
inline void finish_linear(const LinearArgs& a, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  if (a.k == 0) {
    for (int64_t m = m_begin; m < m_end; ++m) {
      for (int64_t n = n_begin; n < n_end; ++n) a.out[m * a.out_stride + n] = 0.0f;
    }
  }
  if (a.bias == nullptr) return;
  with_type(a.bias_dtype, [&]<typename T>(const T*) {
    const T* bias = static_cast<const T*>(a.bias);
    for (int64_t m = m_begin; m < m_end; ++m) {
      float* out = a.out + m * a.out_stride;
      int64_t n = n_begin;
      for (; n + kLanes <= n_end; n += kLanes) store(out + n, add(load(out + n), load(bias + n)));
      if (n < n_end) store_part(out + n, add(load_part(out + n, n_end - n), load_part(bias + n, n_end - n)), n_end - n);
    }
  });
}

// K-blocks of equal length but for the last, so that none is much shorter than the others; a function of K and the dtype of x.
template <typename X>
inline int64_t block_length(int64_t k) {
  constexpr int64_t kMost = sizeof(X) == 2 ? kBlockK16 : kBlockK32;
  const int64_t blocks = (k + kMost - 1) / kMost;
  return blocks > 1 ? ((k + blocks - 1) / blocks + 63) / 64 * 64 : k;
}

// Calls fn with null pointers of the element types of x and w.
template <typename Fn>
inline void with_operands(const LinearArgs& a, Fn fn) {
#ifdef LOCKSTEP_BF16
  if (a.x_dtype == DType::kBFloat16) {  // and w is bfloat16
    fn(static_cast<const Bf16*>(nullptr), static_cast<const Bf16*>(nullptr));
    return;
  }
#endif
  with_type(a.w_dtype, [&]<typename T>(const T* w) { fn(static_cast<const float*>(nullptr), w); });
}

// Prefetches go some tiles of w further, so that each line is asked for once, long before it is needed: this many bytes at least,
// which are some microseconds of one core's bandwidth.
constexpr int64_t kPrefetchDistance = 24 * 1024;
// For a tile of NR rows whose K-block of `length` elements begins at w. Where the block is the whole row the tile is one run of
// memory, and its lines are asked for in order, which the processor likes better for short rows; else row by row.
template <int NR, typename T>
inline Ahead ahead_of(const T* w, int64_t w_stride, int64_t length) {
  constexpr int64_t kLine = 64;
  const int64_t row_bytes = w_stride * static_cast<int64_t>(sizeof(T)), tile_bytes = NR * row_bytes;
  const int64_t distance = tile_bytes == 0 ? 0 : (kPrefetchDistance + tile_bytes - 1) / tile_bytes * tile_bytes;
  const bool one_run = length == w_stride;
  return {reinterpret_cast<const char*>(w) + distance, one_run ? NR * kLine : kLine, one_run ? kLine : row_bytes};
}

// Row n of w against one row of x, where w is read in the order of memory and nothing is asked for ahead. Products of bfloat16
// take so few instructions that the processor overlaps several rows by itself, and its own prefetcher then reaches the read
// bandwidth (Zen 4, K from 320 to 4096; a tile of rows reaches 70 % of it at K = 576). With longer rows x leaves no room in the
// first-level cache, and the tile below is the faster one.
#ifdef LOCKSTEP_BF16
constexpr int64_t kMaxRowK = 2 * kBlockK16;

inline void stream_row(const LinearArgs& a, int64_t n) {
  const Bf16* row = static_cast<const Bf16*>(a.w) + n * a.w_stride;
  const int64_t block_k = block_length<Bf16>(a.k);
  float total = 0.0f;
  for (int64_t k = 0; k < a.k; k += block_k) {
    const Bf16* x[1] = {static_cast<const Bf16*>(a.x) + k};
    const Bf16* w[1] = {row + k};
    Vec acc[1];
    dot_lanes<1, 1, false>(acc, x, w, min64(block_k, a.k - k), {});
    total = k == 0 ? reduce_add(acc[0]) : total + reduce_add(acc[0]);
  }
  a.out[n] = total;
}
#endif

// kStreamN rows of w against one row of x, which needs more of them than a tile of several does to hide the latency of its
// multiply-adds.
constexpr int kStreamN = 8;

template <typename X, typename T>
inline void stream_one(const LinearArgs& a, int64_t n) {
  const T* base = static_cast<const T*>(a.w) + n * a.w_stride;
  const int64_t block_k = block_length<X>(a.k);
  Four total[kStreamN / 4] = {};
  for (int64_t k = 0; k < a.k; k += block_k) {
    const X* x[1] = {static_cast<const X*>(a.x) + k};
    const T* w[kStreamN];
#pragma GCC unroll 8
    for (int i = 0; i < kStreamN; ++i) w[i] = base + i * a.w_stride + k;
    Vec acc[kStreamN];
    const int64_t length = min64(block_k, a.k - k);
    dot_lanes<1, kStreamN, true>(acc, x, w, length, ahead_of<kStreamN>(w[0], a.w_stride, length));
#pragma GCC unroll 8
    for (int i = 0; i < kStreamN / 4; ++i) {
      const Four sums = reduce_add4(acc[4 * i], acc[4 * i + 1], acc[4 * i + 2], acc[4 * i + 3]);
      total[i] = k == 0 ? sums : total[i] + sums;
    }
  }
  __builtin_memcpy(a.out + n, total, sizeof(total));
}

// NR rows of w against all m rows of x. Each K-block of w is read from memory once and stays in the first-level cache.
template <int MR, int NR, typename X, typename T>
inline void stream_rows(const LinearArgs& a, int64_t m, int64_t n) {
  const T* base = static_cast<const T*>(a.w) + n * a.w_stride;
  const int64_t block_k = block_length<X>(a.k);
  float sums[MR * NR];
  for (int64_t k = 0; k < a.k; k += block_k) {
    const int64_t length = min64(block_k, a.k - k);
    const T* w[NR];
#pragma GCC unroll 8
    for (int i = 0; i < NR; ++i) w[i] = base + i * a.w_stride + k;
    for (int64_t i = 0; i < m; i += MR) {
      const int64_t mr = min64(MR, m - i);
      const X* x[MR];
      for (int64_t j = 0; j < mr; ++j) x[j] = static_cast<const X*>(a.x) + (i + j) * a.x_stride + k;
      if (i == 0) {
        dot_tile<MR, NR, true>(sums, x, mr, w, length, ahead_of<NR>(w[0], a.w_stride, length));
      } else {
        dot_tile<MR, NR, false>(sums, x, mr, w, length, {});
      }
      accumulate<NR>(a.out + i * a.out_stride + n, a.out_stride, sums, mr, NR, k == 0);
    }
  }
}

// Where converting w once begins to pay, measured.
constexpr int kMaxStreamRows = LOCKSTEP_SIMD == 512 ? 64 : LOCKSTEP_SIMD == 2 ? 15 : 6;

static void linear_stream(const LinearArgs& a, int64_t m, int64_t n_begin, int64_t n_end) {
  with_operands(a, [&]<typename X, typename T>(const X*, const T*) {
    int64_t n = n_begin;
#ifdef LOCKSTEP_BF16
    if constexpr (__is_same(X, Bf16)) {
      if (m == 1 && a.k <= kMaxRowK) {
        for (; n < n_end; ++n) stream_row(a, n);
      }
    }
#endif
    if (m == 1) {
      for (; n + kStreamN <= n_end; n += kStreamN) stream_one<X, T>(a, n);
    }
    for (; n + kTileN <= n_end; n += kTileN) stream_rows<kTileM, kTileN, X, T>(a, m, n);
    for (; n < n_end; ++n) stream_rows<kTileM, 1, X, T>(a, m, n);
  });
  finish_linear(a, 0, m, n_begin, n_end);
}

// kTileN rows of w, k elements each, as the operands of products with X, so that a tile reads one stream: operand i of row r at
// block + (i * kTileN + r) * kElements. Zeros for the rows from nr on and beyond k.
template <typename T>
inline void pack_tile(float* block, const T* w, int64_t w_stride, int64_t nr, int64_t k) {
  for (int64_t r = 0; r < kTileN; ++r) {
    float* out = block + r * kLanes;
    const T* row = w + r * w_stride;
    int64_t i = 0;
    for (; i + kLanes <= k; i += kLanes, out += kTileN * kLanes) store(out, r < nr ? load(row + i) : zero());
    if (i < k) store(out, r < nr ? load_part(row + i, k - i) : zero());
  }
}
#ifdef LOCKSTEP_BF16
inline void pack_tile(Bf16* block, const Bf16* w, int64_t w_stride, int64_t nr, int64_t k) {
  using P = Products<Bf16, Bf16>;
  for (int64_t r = 0; r < kTileN; ++r) {
    Bf16* out = block + r * P::kElements;
    const Bf16* row = w + r * w_stride;
    for (int64_t i = 0; i < k; i += P::kElements, out += kTileN * P::kElements) {
      const int64_t n = r < nr ? min64(k - i, P::kElements) : 0;
      _mm512_storeu_si512(out, n == P::kElements ? (__m512i)P::load_w(row + i) : (__m512i)P::load_w_part(row + i, n));
    }
  }
}
#endif

template <typename X, typename T>
inline void blocked(const LinearArgs& a, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, X* block) {
  constexpr int kStep = kTileN * Products<X, X>::kElements;
  constexpr int64_t kElements = Products<X, X>::kElements;
  const int64_t block_k = block_length<X>(a.k);
  for (int64_t nb = n_begin; nb < n_end; nb += kBlockN) {
    const int64_t nb_end = min64(nb + kBlockN, n_end);
    for (int64_t k = 0; k < a.k; k += block_k) {
      const int64_t length = min64(block_k, a.k - k);
      const int64_t padded = (length + kElements - 1) / kElements * kElements;
      for (int64_t n = nb; n < nb_end; n += kTileN) {
        pack_tile(block + (n - nb) * padded, static_cast<const T*>(a.w) + n * a.w_stride + k, a.w_stride,
                  min64(kTileN, nb_end - n), length);
      }
      // A tile of x stays in the first-level cache while the block passes by from the second-level one.
      for (int64_t m = m_begin; m < m_end; m += kTileM) {
        const int64_t mr = min64(kTileM, m_end - m);
        const X* x[kTileM];
        for (int64_t j = 0; j < mr; ++j) x[j] = static_cast<const X*>(a.x) + (m + j) * a.x_stride + k;
        for (int64_t n = nb; n < nb_end; n += kTileN) {
          const X* w[kTileN];
          for (int i = 0; i < kTileN; ++i) w[i] = block + (n - nb) * padded + i * kElements;
          float sums[kTileM * kTileN];
          dot_tile<kTileM, kTileN, false, kStep>(sums, x, mr, w, length, {});
          accumulate<kTileN>(a.out + m * a.out_stride + n, a.out_stride, sums, mr, min64(kTileN, nb_end - n), k == 0);
        }
      }
    }
  }
}

static void linear_blocked(const LinearArgs& a, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, void* scratch) {
  with_operands(a, [&]<typename X, typename T>(const X*, const T*) {
    blocked<X, T>(a, m_begin, m_end, n_begin, n_end, static_cast<X*>(scratch));
  });
  finish_linear(a, m_begin, m_end, n_begin, n_end);
}

}  // namespace
}  // namespace lockstep::cpu
