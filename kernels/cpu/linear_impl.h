// out = x . w^T + bias for float32 activations; see kernels.h for the contract and the order of summation.
#pragma once

#include "kernels/cpu/dot_impl.h"
#include "kernels/cpu/kernels.h"

namespace lockstep::cpu {
namespace {

// Adds one K-block's sums [mr, nr] to out, or sets out if it is the first.
inline void accumulate(float* out, int64_t out_stride, const float* sums, int64_t mr, int64_t nr, bool first_block) {
  for (int64_t m = 0; m < mr; ++m) {
    for (int64_t n = 0; n < nr; ++n) {
      float* o = out + m * out_stride + n;
      *o = first_block ? sums[m * nr + n] : *o + sums[m * nr + n];
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

// NR rows of w against all m rows of x. Each K-block of w is read from memory once and stays in the first-level cache.
template <int MR, int NR, typename T>
inline void stream_rows(const LinearArgs& a, int64_t m, int64_t n) {
  const T* base = static_cast<const T*>(a.w) + n * a.w_stride;
  const int64_t ahead = NR * a.w_stride * static_cast<int64_t>(sizeof(T));  // what this thread reads after these rows
  float sums[MR * NR];
  for (int64_t k = 0; k < a.k; k += kBlockK) {
    const int64_t length = min64(kBlockK, a.k - k);
    const T* w[NR];
#pragma GCC unroll 8
    for (int i = 0; i < NR; ++i) w[i] = base + i * a.w_stride + k;
    for (int64_t i = 0; i < m; i += MR) {
      const int64_t mr = min64(MR, m - i);
      const float* x[MR];
      for (int64_t j = 0; j < mr; ++j) x[j] = a.x + (i + j) * a.x_stride + k;
      if (i == 0) {
        dot_tile_upto<MR, NR, true>(sums, x, mr, w, length, ahead);
      } else {
        dot_tile_upto<MR, NR, false>(sums, x, mr, w, length, 0);
      }
      accumulate(a.out + i * a.out_stride + n, a.out_stride, sums, mr, NR, k == 0);
    }
  }
}

// One row of x needs more rows of w than a tile of several does, to hide the latency of its multiply-adds.
constexpr int kStreamN = 8;

static void linear_stream(const LinearArgs& a, int64_t m, int64_t n_begin, int64_t n_end) {
  with_type(a.w_dtype, [&]<typename T>(const T*) {
    int64_t n = n_begin;
    if (m == 1) {
      for (; n + kStreamN <= n_end; n += kStreamN) stream_rows<1, kStreamN, T>(a, m, n);
    }
    for (; n + kTileN <= n_end; n += kTileN) stream_rows<kTileM, kTileN, T>(a, m, n);
    for (; n < n_end; ++n) stream_rows<kTileM, 1, T>(a, m, n);
  });
  finish_linear(a, 0, m, n_begin, n_end);
}

// A row of w, k elements, as float32.
template <typename T>
inline void convert_row(float* out, const T* w, int64_t k) {
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) store(out + i, load(w + i));
  if (i < k) store_part(out + i, load_part(w + i, k - i), k - i);
}

// One tile of x, which stays in the first-level cache while the converted block of w passes by from the second-level one.
template <int NR>
inline void blocked_tile(const LinearArgs& a, const float* block, int64_t m, int64_t mr, int64_t n, int64_t k, int64_t length) {
  const float* w[NR];
  for (int i = 0; i < NR; ++i) w[i] = block + i * kBlockK;
  const float* x[kTileM];
  for (int64_t j = 0; j < mr; ++j) x[j] = a.x + (m + j) * a.x_stride + k;
  float sums[kTileM * NR];
  dot_tile_upto<kTileM, NR, false>(sums, x, mr, w, length, 0);
  accumulate(a.out + m * a.out_stride + n, a.out_stride, sums, mr, NR, k == 0);
}

static void linear_blocked(const LinearArgs& a, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, float* block) {
  with_type(a.w_dtype, [&]<typename T>(const T*) {
    for (int64_t nb = n_begin; nb < n_end; nb += kBlockN) {
      const int64_t nb_end = min64(nb + kBlockN, n_end);
      for (int64_t k = 0; k < a.k; k += kBlockK) {
        const int64_t length = min64(kBlockK, a.k - k);
        for (int64_t n = nb; n < nb_end; ++n) {
          convert_row(block + (n - nb) * kBlockK, static_cast<const T*>(a.w) + n * a.w_stride + k, length);
        }
        for (int64_t m = m_begin; m < m_end; m += kTileM) {
          const int64_t mr = min64(kTileM, m_end - m);
          int64_t n = nb;
          for (; n + kTileN <= nb_end; n += kTileN) {
            blocked_tile<kTileN>(a, block + (n - nb) * kBlockK, m, mr, n, k, length);
          }
          for (; n < nb_end; ++n) blocked_tile<1>(a, block + (n - nb) * kBlockK, m, mr, n, k, length);
        }
      }
    }
  });
  finish_linear(a, m_begin, m_end, n_begin, n_end);
}

}  // namespace
}  // namespace lockstep::cpu
