// Norms, linears, rotary embedding and the activation: who does which rows.
#include <algorithm>

#include "base/error.h"
#include "kernels/cpu/cpu_ops.h"

namespace lockstep::cpu {
namespace {

// Bytes of weights that one thread streams in the time it takes to call another.
constexpr int64_t kLinearBytesPerThread = 32 * 1024;

void check_index(int64_t t, int64_t index, const PagedKv& kv) {
  check(index >= 0 && index < kv.num_blocks * kv.block_size, "norm_rope_store: kv_index[{}] is {}, the cache has {} blocks of {}",
        t, index, kv.num_blocks, kv.block_size);
}

}  // namespace

void CpuOps::rms_norm(TensorView out, TensorView x, TensorView weight, float eps) {
  check_float32("rms_norm", "out", out);
  check_float32("rms_norm", "x", x);
  check_floating("rms_norm", "weight", weight);
  check_shape("rms_norm", "x", x, x.rows, x.cols);
  check_shape("rms_norm", "out", out, x.rows, x.cols);
  check_shape("rms_norm", "weight", weight, 1, x.cols);
  pool_.parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.rms_norm(out.slice_rows(t, 1).as<float>(), x.slice_rows(t, 1).as<float>(), weight.data, weight.dtype, eps, x.cols);
    }
  });
}

void CpuOps::add_rms_norm(TensorView out, TensorView residual, TensorView sum, TensorView bias, TensorView weight, float eps) {
  check_float32("add_rms_norm", "out", out);
  check_float32("add_rms_norm", "residual", residual);
  check_float32("add_rms_norm", "sum", sum);
  check_floating("add_rms_norm", "weight", weight);
  check_shape("add_rms_norm", "residual", residual, residual.rows, residual.cols);
  check_shape("add_rms_norm", "out", out, residual.rows, residual.cols);
  check_shape("add_rms_norm", "sum", sum, residual.rows, residual.cols);
  check_shape("add_rms_norm", "weight", weight, 1, residual.cols);
  check_optional_vector("add_rms_norm", "bias", bias, residual.cols);
  pool_.parallel_for(residual.rows, row_grain(residual.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* x = residual.slice_rows(t, 1).as<float>();
      kernels_.add_sum(x, sum.slice_rows(t, 1).as<float>(), bias.data, bias.dtype, residual.cols);
      kernels_.rms_norm(out.slice_rows(t, 1).as<float>(), x, weight.data, weight.dtype, eps, residual.cols);
    }
  });
}

TensorView CpuOps::linear_operand(const TensorView& x, DType weight_dtype) {
  if (!kernels_.bf16_products || weight_dtype != DType::kBFloat16) return x;
  if (kernels_.pack_operand != nullptr) return packed_operand(x);
  // An odd number of cache lines between rows, so that the rows of a tile do not compete for the same places of a cache.
  constexpr int64_t kLine = 32;
  const int64_t stride = ((x.cols + kLine - 1) / kLine | 1) * kLine;
  const TensorView out(operand_scratch_.get_as<uint16_t>(x.rows * stride), DType::kBFloat16, x.rows, x.cols, stride);
  pool_.parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.from_float(out.slice_rows(t, 1).data, out.dtype, x.slice_rows(t, 1).as<const float>(), x.cols);
    }
  });
  return out;
}

TensorView CpuOps::packed_operand(const TensorView& x) {
  const int64_t rows = std::min(x.rows, kPackedRows), tiles = (x.rows + kPackedRows - 1) / kPackedRows;
  const int64_t step = (x.cols + kPackedK - 1) / kPackedK * kPackedK * rows;  // elements of a tile
  const TensorView out(operand_scratch_.get_as<uint16_t>(tiles * step), DType::kBFloat16, tiles, step);
  pool_.parallel_for(tiles, (row_grain(x.cols) + rows - 1) / rows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.pack_operand(out.slice_rows(t, 1).data, x.slice_rows(t * kPackedRows, 1).as<const float>(), x.stride,
                            std::min(rows, x.rows - t * kPackedRows), rows, x.cols);
    }
  });
  return out;
}

void CpuOps::linear(TensorView out, const Rows& rows, const LinearWeight& w, TensorView bias) {
  check(rows.squares.data == nullptr, "linear: rows with an unfinished norm, which this backend does not make");
  const TensorView x = rows.x;
  check_float32("linear", "out", out);
  check_float32("linear", "x", x);
  check_floating("linear", "w", w.data);
  check_shape("linear", "x", x, x.rows, x.cols);
  check_shape("linear", "w", w.data, w.data.rows, x.cols);
  check_shape("linear", "out", out, x.rows, w.data.rows);
  check_optional_vector("linear", "bias", bias, w.data.rows);
  const int64_t m = x.rows, n = w.data.rows, k = x.cols;
  if (m == 0 || n == 0) return;
  const TensorView operand = linear_operand(x, w.data.dtype);
  const LinearArgs args{.x = operand.data,
                        .x_dtype = operand.dtype,
                        .x_stride = operand.stride,
                        .w = w.data.data,
                        .w_stride = w.data.stride,
                        .w_dtype = w.data.dtype,
                        .bias = bias.data,
                        .bias_dtype = bias.dtype,
                        .out = out.as<float>(),
                        .out_stride = out.stride,
                        .k = k};
  // Runs of output columns that are whole tiles and whole cache lines of out.
  const int64_t n_unit = kernels_.tile_n * int64_t{16};
  if (m <= kernels_.max_stream_rows) {
    const int64_t row_bytes = std::max<int64_t>(1, k * static_cast<int64_t>(size_of(w.data.dtype)) * ((m + 1) / 2));
    const int64_t grain = std::max((kLinearBytesPerThread / row_bytes + 15) / 16 * 16, int64_t{16});
    pool_.parallel_for(n, grain, [&](int64_t begin, int64_t end) { kernels_.linear_stream(args, m, begin, end); });
    return;
  }
  // A grid of threads over w and, where w has too few rows for all, over x.
  const int64_t n_parts = std::min<int64_t>(pool_.threads(), (n + n_unit - 1) / n_unit);
  const int64_t m_unit = kPartM;
  const int64_t m_parts = std::min<int64_t>(pool_.threads() / n_parts, (m + m_unit - 1) / m_unit);
  const int64_t n_units = (n + n_unit - 1) / n_unit, m_units = (m + m_unit - 1) / m_unit;
  pool_.run(static_cast<int>(n_parts * m_parts), [&](int t) {
    const int64_t i = t % n_parts, j = t / n_parts;
    void* block = thread_scratch_[static_cast<size_t>(t)].get(kLinearScratchBytes);
    kernels_.linear_blocked(args, std::min(m, m_units * j / m_parts * m_unit), std::min(m, m_units * (j + 1) / m_parts * m_unit),
                            std::min(n, n_units * i / n_parts * n_unit), std::min(n, n_units * (i + 1) / n_parts * n_unit),
                            block);
  });
}

void CpuOps::norm_rope_store(TensorView qkv, const HeadLayout& heads, TensorView q_norm, TensorView k_norm, float eps,
                             TensorView cos_sin, const BatchView& batch, const PagedKv& kv) {
  const int64_t d = heads.head_dim;
  const int64_t width = (heads.q_heads + 2 * int64_t{heads.kv_heads}) * d;
  check(d > 0 && d % 2 == 0 && d <= kMaxHeadDim, "norm_rope_store: head_dim is {}, expected an even number up to {}", d,
        kMaxHeadDim);
  check_float32("norm_rope_store", "qkv", qkv);
  check_float32("norm_rope_store", "cos_sin", cos_sin);
  check_shape("norm_rope_store", "qkv", qkv, batch.num_tokens, width);
  check_shape("norm_rope_store", "cos_sin", cos_sin, batch.num_tokens, d);
  check_optional_vector("norm_rope_store", "q_norm", q_norm, d);
  check_optional_vector("norm_rope_store", "k_norm", k_norm, d);
  check(kv.dtype != DType::kInt32, "norm_rope_store: a cache of {}", name_of(kv.dtype));
  if (heads.kv_heads > 0) {
    check(kv.kv_heads == heads.kv_heads && kv.head_dim == d, "norm_rope_store: the cache has {} heads of {}, the layer {} of {}",
          kv.kv_heads, kv.head_dim, heads.kv_heads, d);
    for (int64_t t = 0; t < batch.num_tokens; ++t) {
      if (batch.kv_index[t] >= 0) check_index(t, batch.kv_index[t], kv);
    }
  }
  const auto element = static_cast<int64_t>(size_of(kv.dtype));
  pool_.parallel_for(width > 0 ? qkv.rows : 0, std::max<int64_t>(1, row_grain(width) / 4), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      if (batch.kv_index[t] < 0) continue;
      NormRopeArgs args{.qkv = qkv.slice_rows(t, 1).as<float>(),
                        .q_heads = heads.q_heads,
                        .kv_heads = heads.kv_heads,
                        .head_dim = d,
                        .q_norm = q_norm.data,
                        .k_norm = k_norm.data,
                        .q_norm_dtype = q_norm.dtype,
                        .k_norm_dtype = k_norm.dtype,
                        .eps = eps,
                        .cos_sin = cos_sin.slice_rows(t, 1).as<const float>(),
                        .head_stride = kv.block_size * d,
                        .kv_dtype = kv.dtype};
      if (heads.kv_heads > 0) {
        const int64_t block = batch.kv_index[t] / kv.block_size, offset = batch.kv_index[t] % kv.block_size;
        const int64_t place = (block * kv.kv_heads * kv.block_size + offset) * d * element;
        args.k_cache = static_cast<char*>(kv.k) + place;
        args.v_cache = static_cast<char*>(kv.v) + place;
      }
      kernels_.norm_rope_store(args);
    }
  });
}

void CpuOps::silu_mul(TensorView out, TensorView gate_up) {
  check_float32("silu_mul", "out", out);
  check_float32("silu_mul", "gate_up", gate_up);
  check_shape("silu_mul", "out", out, out.rows, out.cols);
  check_shape("silu_mul", "gate_up", gate_up, out.rows, 2 * out.cols);
  if (out.empty()) return;
  constexpr int64_t kRun = 2048;
  const int64_t runs = (out.cols + kRun - 1) / kRun;  // of one row
  pool_.parallel_for(
      out.rows * runs, std::max<int64_t>(1, kElementGrain / 4 / std::min(kRun, out.cols)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t t = i / runs, c = i % runs * kRun;
          const float* gate = gate_up.slice_rows(t, 1).as<const float>() + c;
          kernels_.silu_mul(out.slice_rows(t, 1).as<float>() + c, gate, gate + out.cols, std::min(kRun, out.cols - c));
        }
      });
}

}  // namespace lockstep::cpu
