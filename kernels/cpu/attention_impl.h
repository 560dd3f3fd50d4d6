// Attention of a few query rows over one chunk of context; see kernels.h. A row's result depends on its own query and limit
// alone: sums over head_dim and sums over positions go in order.
#pragma once

#include "kernels/cpu/attention_scores_impl.h"
#include "kernels/cpu/dot_impl.h"
#include "kernels/cpu/kernels.h"

namespace lockstep::cpu {
namespace {

// Rows above which a chunk of values is converted to float32 once instead of at each use.
constexpr int64_t kConvertRows = 8;
constexpr float kInfinity = __builtin_inff();

// Positions whose values all rows take in before the next.
constexpr int64_t kValueRun = 32;
// Lines to ask for in a step of a tile of values.
constexpr int kAskInValues = LOCKSTEP_SIMD == 512 ? 4 : 1;

// scores[r][j] becomes p = exp(scores[r][j] - max[r]), in place as P: bfloat16 lies in the first half of the row's memory, with
// zeros after the last up to a whole vector. Fills max and sum, the latter of what has not been rounded.
template <typename P>
inline void exponentiate(const AttentionChunkArgs& a) {
  for (int64_t r = 0; r < a.rows; ++r) {
    float* s = a.scores + r * kAttentionChunk;
    P* p = reinterpret_cast<P*>(s);
    const int64_t n = a.limit[r];
    Vec top = set1(-kInfinity);
    int64_t j = 0;
    for (; j + kLanes <= n; j += kLanes) top = max(load(s + j), top);
    float row_max = reduce_max(top);
    for (; j < n; ++j) row_max = s[j] > row_max ? s[j] : row_max;
    const Vec shift = set1(row_max);
    Vec total = zero();
    for (j = 0; j + kLanes <= n; j += kLanes) {
      const Vec e = exp(sub(load(s + j), shift));
      store_product(p + j, e);
      total = add(total, e);
    }
    float sum = reduce_add(total);
    if (j < n) {
      float part[kLanes] = {};
      store_part(part, exp(sub(load_part(s + j, n - j), shift)), n - j);
      const Vec e = load(part);
      store_product(p + j, e);
      sum += reduce_add(e);
    }
    a.max[r] = row_max;
    a.sum[r] = sum;
  }
}

// out[m][0 .. NV vectors) += sum over j in [begin, end) of p[m][j] * v[j], in order of j. tail > 0: one vector of `tail`
// elements.
template <int MR, int NV, typename T>
inline void value_tile(float* const* out, const float* const* p, const T* const* v, int64_t d, int64_t tail, int64_t begin,
                       int64_t end, RowsAhead& ahead) {
  Vec acc[MR * NV];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i) acc[m * NV + i] = tail ? load_part(out[m] + d, tail) : load(out[m] + d + i * kLanes);
  }
  for (int64_t j = begin; j < end; ++j) {
    ahead.ask(kAskInValues);
    Vec vv[NV];
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i) vv[i] = tail ? load_part(v[j] + d, tail) : load(v[j] + d + i * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec pm = set1(p[m][j]);
#pragma GCC unroll 8
      for (int i = 0; i < NV; ++i) acc[m * NV + i] = fma(pm, vv[i], acc[m * NV + i]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i) {
      if (tail) {
        store_part(out[m] + d, acc[m * NV + i], tail);
      } else {
        store(out[m] + d + i * kLanes, acc[m * NV + i]);
      }
    }
  }
}

constexpr int kValueVectors = LOCKSTEP_SIMD == 512 ? 4 : 2;

template <int MR, typename T>
inline void value_rows(float* const* out, const float* const* p, const T* const* v, int64_t head_dim, int64_t begin, int64_t end,
                       RowsAhead& ahead) {
  if (begin >= end) return;
  int64_t d = 0;
  for (; d + kValueVectors * kLanes <= head_dim; d += kValueVectors * kLanes) {
    value_tile<MR, kValueVectors>(out, p, v, d, 0, begin, end, ahead);
  }
  for (; d + kLanes <= head_dim; d += kLanes) value_tile<MR, 1>(out, p, v, d, 0, begin, end, ahead);
  if (d < head_dim) value_tile<MR, 1>(out, p, v, d, head_dim - d, begin, end, ahead);
}

// out[r] += sum over j < limit[r] of scores[r][j] * v[j]; kValueRun positions for all rows, then the next; asks for the
// keys of the chunk that follows meanwhile.
template <typename T>
inline void weigh_values(const AttentionChunkArgs& a, const T* const* v) {
  constexpr int kRows = 4;
  RowsAhead ahead(a.next_k, a.next_positions, a.row_bytes);
  for (int64_t begin = 0; begin < a.positions; begin += kValueRun) {
    const int64_t end = min64(begin + kValueRun, a.positions);
    for (int64_t r = 0; r < a.rows; r += kRows) {
      const int64_t mr = min64(kRows, a.rows - r);
      float* out[kRows];
      const float* p[kRows];
      for (int64_t m = 0; m < mr; ++m) {
        out[m] = a.out + (r + m) * a.head_dim;
        p[m] = a.scores + (r + m) * kAttentionChunk;
      }
      const int64_t common = max64(begin, min64(a.limit[r], end));  // limits ascend
      if (mr == 4) {
        value_rows<4>(out, p, v, a.head_dim, begin, common, ahead);
      } else if (mr == 3) {
        value_rows<3>(out, p, v, a.head_dim, begin, common, ahead);
      } else if (mr == 2) {
        value_rows<2>(out, p, v, a.head_dim, begin, common, ahead);
      } else {
        value_rows<1>(out, p, v, a.head_dim, begin, common, ahead);
      }
      for (int64_t m = 1; m < mr; ++m) value_rows<1>(out + m, p + m, v, a.head_dim, common, min64(a.limit[r + m], end), ahead);
    }
  }
}

template <typename T>
inline void convert_positions(const AttentionChunkArgs& a, const T* const* in, const float** out) {
  const int64_t stride = (a.head_dim + kMaxLanes - 1) / kMaxLanes * kMaxLanes;
  for (int64_t j = 0; j < a.positions; ++j) {
    float* to = a.converted + j * stride;
    int64_t i = 0;
    for (; i + kLanes <= a.head_dim; i += kLanes) store(to + i, load(in[j] + i));
    if (i < a.head_dim) store_part(to + i, load_part(in[j] + i, a.head_dim - i), a.head_dim - i);
    out[j] = to;
  }
}

#ifdef LOCKSTEP_BF16

// Rows of the output whose sums stay in registers together.
constexpr int kPairRows = 8;

// The rows' queries as bfloat16; q[r] points into `memory`, which has rows * (head_dim rounded up to 32) elements.
inline void round_queries(const AttentionChunkArgs& a, Bf16* memory, const Bf16** q) {
  const int64_t stride = (a.head_dim + 31) / 32 * 32;
  for (int64_t r = 0; r < a.rows; ++r) {
    Bf16* to = memory + r * stride;
    int64_t i = 0;
    for (; i + kLanes <= a.head_dim; i += kLanes) store_product(to + i, load(a.q[r] + i));
    if (i < a.head_dim) store_part(to + i, load_part(a.q[r] + i, a.head_dim - i), a.head_dim - i);
    q[r] = to;
  }
}

// out[m][d .. d + 32 NV) += sum over j in [begin, end) of p[m][j] * v[j], two positions at a time; begin is even. tail > 0: NV is
// 1 and `tail` < 32 elements exist.
template <int MR, int NV>
inline void value_pairs(float* const* out, const Bf16* const* p, const Bf16* const* v, int64_t d, int64_t tail, int64_t begin,
                        int64_t end, RowsAhead& ahead) {
  using P = Products<Bf16, Bf16>;
  // Elements 0 to 15 and 16 to 31 of two rows, in pairs.
  const __m512i low_pairs = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5,
                                             36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high_pairs = _mm512_add_epi16(low_pairs, _mm512_set1_epi16(16));
  const auto part = [&](int h) { return tail ? max64(0, min64(kLanes, tail - (h & 1) * kLanes)) : kLanes; };
  Vec acc[MR * 2 * NV];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 8
    for (int h = 0; h < 2 * NV; ++h) {
      const float* from = out[m] + d + h * kLanes;
      acc[m * 2 * NV + h] = tail ? load_part(from, part(h)) : load(from);
    }
  }
  for (int64_t j = begin; j < end; j += 2) {
    ahead.ask(kAskInValues);
    __m512bh pairs[2 * NV];
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i) {
      const int64_t at = d + i * P::kElements;
      const auto load_row = [&](int64_t row) {
        return (__m512i)(tail ? P::load_w_part(v[row] + at, tail) : P::load_w(v[row] + at));
      };
      const __m512i first = load_row(j), second = j + 1 < end ? load_row(j + 1) : _mm512_setzero_si512();
      pairs[2 * i] = (__m512bh)_mm512_permutex2var_epi16(first, low_pairs, second);
      pairs[2 * i + 1] = (__m512bh)_mm512_permutex2var_epi16(first, high_pairs, second);
    }
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      int32_t both;
      __builtin_memcpy(&both, p[m] + j, sizeof(both));
      const __m512bh weight = (__m512bh)_mm512_set1_epi32(both);
#pragma GCC unroll 8
      for (int h = 0; h < 2 * NV; ++h) acc[m * 2 * NV + h] = P::add(acc[m * 2 * NV + h], weight, pairs[h]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 8
    for (int h = 0; h < 2 * NV; ++h) {
      float* to = out[m] + d + h * kLanes;
      if (tail) {
        store_part(to, acc[m * 2 * NV + h], part(h));
      } else {
        store(to, acc[m * 2 * NV + h]);
      }
    }
  }
}

template <int MR>
inline void value_pair_rows(float* const* out, const Bf16* const* p, const Bf16* const* v, int64_t mr, int64_t head_dim,
                            int64_t begin, int64_t end, RowsAhead& ahead) {
  if (mr != MR) {
    if constexpr (MR > 1) value_pair_rows<MR - 1>(out, p, v, mr, head_dim, begin, end, ahead);
    return;
  }
  constexpr int64_t kElements = Products<Bf16, Bf16>::kElements;
  constexpr int kVectors = MR <= 4 ? 2 : 1;
  int64_t d = 0;
  for (; d + kVectors * kElements <= head_dim; d += kVectors * kElements)
    value_pairs<MR, kVectors>(out, p, v, d, 0, begin, end, ahead);
  for (; d + kElements <= head_dim; d += kElements) value_pairs<MR, 1>(out, p, v, d, 0, begin, end, ahead);
  if (d < head_dim) value_pairs<MR, 1>(out, p, v, d, head_dim - d, begin, end, ahead);
}

// out[r] += sum over j < limit[r] of p[r][j] * v[j]; kValueRun positions for all rows, then the next; asks for the
// keys of the chunk that follows meanwhile.
inline void weigh_value_pairs(const AttentionChunkArgs& a, const Bf16* const* p, const Bf16* const* v) {
  RowsAhead ahead(a.next_k, a.next_positions, a.row_bytes);
  for (int64_t begin = 0; begin < a.positions; begin += kValueRun) {
    const int64_t end = min64(begin + kValueRun, a.positions);
    for (int64_t r = 0; r < a.rows; r += kPairRows) {
      const int64_t mr = min64(kPairRows, a.rows - r);
      float* out[kPairRows];
      for (int64_t m = 0; m < mr; ++m) out[m] = a.out + (r + m) * a.head_dim;
      // Whole pairs that all rows see (limits ascend), then the rest of each row.
      const int64_t first = min64(a.limit[r], end);
      const int64_t common = max64(begin, first == min64(a.limit[r + mr - 1], end) ? first : first / 2 * 2);
      if (begin < common) value_pair_rows<kPairRows>(out, p + r, v, mr, a.head_dim, begin, common, ahead);
      for (int64_t m = 0; m < mr; ++m) {
        const int64_t rest = min64(a.limit[r + m], end);
        if (common < rest) value_pair_rows<1>(out + m, p + r + m, v, 1, a.head_dim, common, rest, ahead);
      }
    }
  }
}

// Keys and values in bfloat16: queries and probabilities are rounded to it, the sums of the latter are not.
inline void attention_products(const AttentionChunkArgs& a, const Bf16* const* k, const Bf16* const* v) {
  const Bf16* q[kAttentionRows] = {};
  const Bf16* p[kAttentionRows] = {};
  round_queries(a, reinterpret_cast<Bf16*>(a.converted), q);
  compute_scores(a, q, k);
  exponentiate<Bf16>(a);
  for (int64_t r = 0; r < a.rows; ++r) p[r] = reinterpret_cast<const Bf16*>(a.scores + r * kAttentionChunk);
  weigh_value_pairs(a, p, v);
}

#endif

static void attention_chunk(const AttentionChunkArgs& a) {
  for (int64_t i = 0; i < a.rows * a.head_dim; ++i) a.out[i] = 0.0f;
  with_type(a.kv_dtype, [&]<typename T>(const T*) {
    const T* const* k = reinterpret_cast<const T* const*>(a.k);
    const T* const* v = reinterpret_cast<const T* const*>(a.v);
#ifdef LOCKSTEP_BF16
    if constexpr (__is_same(T, Bf16)) {
      attention_products(a, k, v);
      return;
    }
#endif
    compute_scores(a, a.q, k);
    exponentiate<float>(a);
    if (sizeof(T) == 2 && a.rows >= kConvertRows) {
      const float* converted[kAttentionChunk];
      convert_positions(a, v, converted);
      weigh_values(a, converted);
    } else {
      weigh_values(a, v);
    }
  });
}

static void attention_merge(float* max_in_out, float* sum, float* out, float next_max, float next_sum, const float* next,
                            int64_t n) {
  const float top = next_max > *max_in_out ? next_max : *max_in_out;
  float scales[kLanes] = {};
  scales[0] = *max_in_out - top;
  scales[1] = next_max - top;
  Vec scale_pair = exp(load(scales));
  store(scales, scale_pair);
  const Vec old_scale = set1(scales[0]), next_scale = set1(scales[1]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(out + i, fma(load(next + i), next_scale, mul(load(out + i), old_scale)));
  }
  if (i < n) {
    const Vec merged = fma(load_part(next + i, n - i), next_scale, mul(load_part(out + i, n - i), old_scale));
    store_part(out + i, merged, n - i);
  }
  *sum = *sum * scales[0] + next_sum * scales[1];
  *max_in_out = top;
}

static void divide(float* out, const float* in, float sum, int64_t n) {
  const Vec divisor = set1(sum);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, div(load(in + i), divisor));
  if (i < n) store_part(out + i, div(load_part(in + i, n - i), divisor), n - i);
}

}  // namespace
}  // namespace lockstep::cpu
