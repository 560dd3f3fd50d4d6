// Linears of bfloat16 on the tile unit (AMX-BF16), for any number of rows of x.
//
// A tile of w, 16 rows by 32 elements as they lie in memory, is the first operand; the second is a tile of x, of which
// pack_operand() has made pairs of elements of up to 16 rows side by side. So w is read in place, once, and what comes out is a
// tile of the transposed result. Order of summation: 32 products after the other are added from zero, then to the sum so far; k
// alone decides, as for every other instruction set (kernels.h).
#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear_impl.h"
#include "kernels/cpu/transpose_impl.h"

namespace lockstep::cpu {
namespace {

constexpr int64_t kTileRows = kPackedRows;  // of w, and of x
constexpr int64_t kTileK = kPackedK;        // elements of a row in a tile
constexpr int64_t kRowsAtATime = 32;        // of w: two tiles

// What the unit is told of its eight tiles.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3: sums [rows of w, rows of x]; 4 and 5: w; 6 and 7: x. xr: rows in a tile of x.
inline void configure_tiles(int64_t xr) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.rows[i] = kTileRows;
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? 64 : 4 * xr);
  }
  _tile_loadconfig(&config);
}

// Rows in a tile of x, where there are m in all.
inline int64_t rows_in_tile(int64_t m) { return min64(m, kTileRows); }
inline int64_t tiles_of_k(int64_t k) { return (k + kTileK - 1) / kTileK; }

// Two tiles of w that do not all exist: zeros for what is beyond n rows or k elements.
struct alignas(64) PaddedTiles {
  Bf16 w[kRowsAtATime][kTileK];
};
inline void pad_tiles(PaddedTiles& to, const Bf16* w, int64_t stride, int64_t n, int64_t k) {
  const auto mask = static_cast<__mmask32>(k >= kTileK ? ~uint32_t{0} : (uint32_t{1} << k) - 1);
  for (int64_t r = 0; r < kRowsAtATime; ++r) {
    _mm512_store_si512(to.w[r], r < n ? _mm512_maskz_loadu_epi16(mask, w + r * stride) : _mm512_setzero_si512());
  }
}

// out[j, n0 + i] = sums[i, j] for i < n <= 16 and j < m <= 16; rows of sums are xr elements apart.
inline void turn_tile(float* out, int64_t out_stride, const float* sums, int64_t xr, int64_t n, int64_t m) {
  if (xr == 1) {
    store_part(out, load(sums), n);
    return;
  }
  Vec rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = xr == kTileRows ? load(sums + i * kTileRows) : load_part(sums + i * xr, xr);
  transpose(rows);
  for (int64_t j = 0; j < m; ++j) {
    if (n == kTileRows) {
      store(out + j * out_stride, rows[j]);
    } else {
      store_part(out + j * out_stride, rows[j], n);
    }
  }
}

// step(x, w0, w1, row_bytes) for each tile of k: where in the tile of x it begins, and the two tiles of w, whose rows are
// row_bytes apart. Nothing is asked of memory ahead: the processor's own prefetcher reaches 94 to 99 % of the read bandwidth with
// one row of x (Emerald Rapids or later, K from 576 to 4864), and every way of helping it was slower.
template <typename Step>
inline __attribute__((always_inline)) void for_tiles(const Bf16* w, int64_t stride, int64_t n, int64_t k, const char* x,
                                                     int64_t xr, Step step) {
  const int64_t whole = n >= kRowsAtATime ? k / kTileK : 0, x_bytes = kTileK / 2 * 4 * xr;
  int64_t i = 0;
  for (; i < whole; ++i) {
    const Bf16* const at = w + i * kTileK;
    step(x + i * x_bytes, at, at + kTileRows * stride, stride * static_cast<int64_t>(sizeof(Bf16)));
  }
  PaddedTiles padded;
  for (; i < tiles_of_k(k); ++i) {
    pad_tiles(padded, w + i * kTileK, stride, n, k - i * kTileK);
    step(x + i * x_bytes, padded.w[0], padded.w[kTileRows], int64_t{sizeof(padded.w[0])});
  }
}

// Two tiles of rows of w against one tile of x, of xr rows: two tiles of sums.
inline void multiply_one(float* sums, const Bf16* w, int64_t stride, int64_t n, int64_t k, const char* x, int64_t xr) {
  _tile_zero(0);
  _tile_zero(1);
  for_tiles(w, stride, n, k, x, xr, [&](const char* x0, const Bf16* w0, const Bf16* w1, int64_t row_bytes) {
    _tile_loadd(6, x0, 4 * xr);
    _tile_loadd(4, w0, row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, w1, row_bytes);
    _tile_dpbf16ps(1, 5, 6);
  });
  _tile_stored(0, sums, 4 * xr);
  _tile_stored(1, sums + kTileRows * xr, 4 * xr);
}

// Likewise against two tiles of 16 rows of x each, x_step bytes apart: four tiles of sums, [tile of x][tile of w].
inline void multiply_two(float* sums, const Bf16* w, int64_t stride, int64_t n, int64_t k, const char* x, int64_t x_step) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for_tiles(w, stride, n, k, x, kTileRows, [&](const char* x0, const Bf16* w0, const Bf16* w1, int64_t row_bytes) {
    _tile_loadd(6, x0, 64);
    _tile_loadd(4, w0, row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, w1, row_bytes);
    _tile_dpbf16ps(1, 5, 6);
    _tile_loadd(7, x0 + x_step, 64);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  });
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + 256, 64);
  _tile_stored(2, sums + 512, 64);
  _tile_stored(3, sums + 768, 64);
}

// m: rows of x in all, of which [m_begin, m_end) are done; both ends are multiples of 32, or m.
inline void multiply_tiles(const LinearArgs& a, int64_t m, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t xr = rows_in_tile(m);
  const int64_t x_step = tiles_of_k(a.k) * 16 * 4 * xr;  // bytes of a tile of x over all of k
  configure_tiles(xr);
  alignas(64) float sums[4 * kTileRows * kTileRows];
  const char* const packed = static_cast<const char*>(a.x);
  const Bf16* const weights = static_cast<const Bf16*>(a.w);
  for (int64_t n = n_begin; n < n_end; n += kRowsAtATime) {
    const int64_t nr = min64(kRowsAtATime, n_end - n);
    const Bf16* w = weights + n * a.w_stride;
    const auto turn = [&](const float* from, int64_t i, int64_t j) {
      const int64_t columns = min64(kTileRows, nr - j);
      if (columns > 0) turn_tile(a.out + i * a.out_stride + n + j, a.out_stride, from, xr, columns, min64(xr, m_end - i));
    };
    for (int64_t i = m_begin; i < m_end; i += 2 * kTileRows) {
      const char* x = packed + i / kTileRows * x_step;
      if (i + kTileRows < m_end) {
        multiply_two(sums, w, a.w_stride, nr, a.k, x, x_step);
        turn(sums, i, 0);
        turn(sums + 256, i, kTileRows);
        turn(sums + 512, i + kTileRows, 0);
        turn(sums + 768, i + kTileRows, kTileRows);
      } else {
        multiply_one(sums, w, a.w_stride, nr, a.k, x, xr);
        turn(sums, i, 0);
        turn(sums + kTileRows * xr, i, kTileRows);
      }
    }
  }
  _tile_release();
}

static void amx_linear_stream(const LinearArgs& a, int64_t m, int64_t n_begin, int64_t n_end) {
  if (a.x_dtype != DType::kBFloat16) return linear_stream(a, m, n_begin, n_end);
  multiply_tiles(a, m, 0, m, n_begin, n_end);
  finish_linear(a, 0, m, n_begin, n_end);
}

static void amx_linear_blocked(const LinearArgs& a, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
                               void* scratch) {
  if (a.x_dtype != DType::kBFloat16) return linear_blocked(a, m_begin, m_end, n_begin, n_end, scratch);
  multiply_tiles(a, kTileRows, m_begin, m_end, n_begin, n_end);  // more rows than a tile has, how many does not matter
  finish_linear(a, m_begin, m_end, n_begin, n_end);
}

// Rows [0, rows) of x as the tile of x, xr rows wide, over all of k; zeros beyond them and beyond k.
static void amx_pack_operand(void* to, const float* x, int64_t x_stride, int64_t rows, int64_t xr, int64_t k) {
  auto* out = static_cast<float*>(to);  // pairs of bfloat16
  for (int64_t i = 0; i < k; i += kTileK, out += 16 * xr) {
    Vec pairs[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
      if (r >= rows) {
        pairs[r] = zero();
        continue;
      }
      const float* from = x + r * x_stride + i;
      const int64_t left = k - i;
      const Vec low = left >= 16 ? load(from) : load_part(from, left);
      const Vec high = left >= 32 ? load(from + 16) : left > 16 ? load_part(from + 16, left - 16) : zero();
      pairs[r] = _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
      if (xr == 1) break;
    }
    if (xr == 1) {
      store(out, pairs[0]);
      continue;
    }
    transpose(pairs);
    for (int64_t r = 0; r < 16; ++r) {
      if (xr == kTileRows) {
        store(out + r * 16, pairs[r]);
      } else {
        store_part(out + r * xr, pairs[r], xr);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::cpu
