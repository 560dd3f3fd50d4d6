// Scores of the query rows of a task against a chunk of keys. The keys are turned over, so that a lane is a position: a score is
// then a sum over head_dim in order, without a sum over lanes at its end, which would cost more than the products where head_dim
// is 64; and the turned keys serve all rows of the task.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/transpose_impl.h"

namespace lockstep::cpu {
namespace {

// Rows of queries and vectors of positions of a tile: kScoreRows * kScoreVectors sums and kScoreVectors keys fit into the
// registers.
constexpr int kScoreRows = 4;
constexpr int kScoreVectors = LOCKSTEP_SIMD == 512 ? 4 : 2;
// Positions that are turned over at a time; their keys lie in the first-level cache.
constexpr int64_t kScoreGroup = kScoreVectors * kLanes;
static_assert(kScoreGroup <= kMaxScoreGroup && kAttentionChunk % kScoreGroup == 0);

// Asks memory for rows ahead of their use, line by line in between of the work: asked for all at once they would fill the few
// buffers for lines on their way, and the work would wait for those. Measured on Zen 4, this is faster
// than the processor's own prefetcher alone, asking for every second line or into the first-level cache, or reading a chunk's
// keys in one go before their use.
class RowsAhead {
 public:
  // The n rows at p, of row_bytes each.
  RowsAhead(const void* const* p, int64_t n, int64_t row_bytes) : row_(p), end_(p + n), row_bytes_(row_bytes) {}

  inline __attribute__((always_inline)) void ask(int lines) {
    for (int i = 0; i < lines && row_ != end_; ++i) {
      prefetch(static_cast<const char*>(*row_) + offset_);
      offset_ += 64;
      if (offset_ >= row_bytes_) {
        offset_ = 0;
        ++row_;
      }
    }
  }

 private:
  const void* const* row_;
  const void* const* end_;
  int64_t row_bytes_;
  int64_t offset_ = 0;
};

// Lines to ask for in a step of a tile of scores, and for each row that is turned over; together what a group of positions has.
constexpr int kAskInTile = LOCKSTEP_SIMD == 512 ? 2 : 1;
constexpr int kAskInTurn = kLanes / 2;

// What 32 bits of a query and of turned keys hold, and how they are multiplied. Q: the type of the queries, K: of the cache.
template <typename Q, typename K>
struct ScoreUnit {  // float32 with whatever widens to it
  static constexpr int kElements = 1;
  static Vec load_keys(const K* p) { return load(p); }
  static Vec load_keys_part(const K* p, int64_t n) { return load_part(p, n); }
  static Vec load_query(const Q* p) { return set1(*p); }
  static Vec add(Vec acc, Vec q, Vec k) { return fma(q, k, acc); }
};

#ifdef LOCKSTEP_BF16
// Two neighbours: 2 i + 1 is added first, then 2 i.
template <>
struct ScoreUnit<Bf16, Bf16> {
  static constexpr int kElements = 2;
  static Vec load_keys(const Bf16* p) { return _mm512_loadu_ps(p); }
  static Vec load_keys_part(const Bf16* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static __m512bh load_query(const Bf16* p) {
    int32_t both;
    __builtin_memcpy(&both, p, sizeof(both));
    return (__m512bh)_mm512_set1_epi32(both);
  }
  static Vec add(Vec acc, __m512bh q, Vec k) { return _mm512_dpbf16_ps(acc, q, (__m512bh)k); }
};
#endif

// turned[u][j] = unit u of k[j] for `units` units and j < n <= kScoreGroup, rows kScoreGroup apart; zeros up to the next multiple
// of kLanes positions.
template <typename Unit, typename K>
inline void turn_keys(float* turned, const K* const* k, int64_t n, int64_t units, RowsAhead& ahead) {
  for (int64_t j = 0; j < n; j += kLanes) {
    for (int64_t u = 0; u < units; u += kLanes) {
      Vec rows[kLanes];
      if (j + kLanes <= n && u + kLanes <= units) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) rows[i] = Unit::load_keys(k[j + i] + u * Unit::kElements);
      } else {
        const int64_t some = min64(kLanes, units - u);
        for (int i = 0; i < kLanes; ++i) {
          rows[i] = j + i < n ? Unit::load_keys_part(k[j + i] + u * Unit::kElements, some) : zero();
        }
      }
      transpose(rows);
      ahead.ask(kAskInTurn);
      float* to = turned + u * kScoreGroup + j;
      if (u + kLanes <= units) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(to + i * kScoreGroup, rows[i]);
      } else {
        for (int64_t i = 0; i < units - u; ++i) store(to + i * kScoreGroup, rows[i]);
      }
    }
  }
}

// scores[m][0 .. NV vectors) = q[m] . the turned keys * scale, for MR rows.
template <typename Unit, int MR, int NV, typename Q>
inline void score_tile(float* scores, const Q* const* q, const float* turned, int64_t units, float scale, RowsAhead& ahead) {
  Vec acc[MR * NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR * NV; ++i) acc[i] = zero();
  for (int64_t u = 0; u < units; ++u) {
    ahead.ask(kAskInTile);
    Vec k[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) k[v] = load(turned + u * kScoreGroup + v * kLanes);
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) {
      const auto qm = Unit::load_query(q[m] + u * Unit::kElements);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m * NV + v] = Unit::add(acc[m * NV + v], qm, k[v]);
    }
  }
  const Vec factor = set1(scale);
#pragma GCC unroll 4
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(scores + m * kAttentionChunk + v * kLanes, mul(acc[m * NV + v], factor));
  }
}

// The tile of mr <= MR rows and nv <= NV vectors.
template <typename Unit, int MR, int NV, typename Q>
inline void score_some(float* scores, const Q* const* q, const float* turned, int64_t units, float scale, int64_t mr, int64_t nv,
                       RowsAhead& ahead) {
  if constexpr (MR > 1) {
    if (mr < MR) return score_some<Unit, MR - 1, NV>(scores, q, turned, units, scale, mr, nv, ahead);
  }
  if constexpr (NV > 1) {
    if (nv < NV) return score_some<Unit, MR, NV - 1>(scores, q, turned, units, scale, mr, nv, ahead);
  }
  score_tile<Unit, MR, NV>(scores, q, turned, units, scale, ahead);
}

// scores[r][j] = q[r] . k[j] * scale, at least for j < limit[r]; asks for the values meanwhile.
template <typename Q, typename K>
inline void compute_scores(const AttentionChunkArgs& a, const Q* const* q, const K* const* k) {
  using Unit = ScoreUnit<Q, K>;
  const int64_t units = a.head_dim / Unit::kElements;
  RowsAhead ahead(a.v, a.positions, a.row_bytes);
  for (int64_t j = 0; j < a.positions; j += kScoreGroup) {
    const int64_t n = min64(kScoreGroup, a.positions - j);
    turn_keys<Unit>(a.turned, k + j, n, units, ahead);
    for (int64_t r = 0; r < a.rows; r += kScoreRows) {
      const int64_t mr = min64(kScoreRows, a.rows - r);
      const int64_t wanted = min64(a.limit[r + mr - 1], a.positions) - j;  // limits ascend
      if (wanted <= 0) continue;
      score_some<Unit, kScoreRows, kScoreVectors>(a.scores + r * kAttentionChunk + j, q + r, a.turned, units, a.scale, mr,
                                                  min64(kScoreVectors, (wanted + kLanes - 1) / kLanes), ahead);
    }
  }
}

}  // namespace
}  // namespace lockstep::cpu
