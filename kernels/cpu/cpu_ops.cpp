// Checks, scratch memory and the ops that move or make data.
#include "kernels/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/error.h"
#include "kernels/random.h"

namespace lockstep::cpu {

Scratch::~Scratch() { std::free(data_); }

void* Scratch::get(size_t bytes) {
  if (bytes > bytes_) {
    std::free(data_);
    bytes_ = 0;
    const size_t rounded = (bytes + 4095) / 4096 * 4096;
    data_ = std::aligned_alloc(64, rounded);
    check(data_ != nullptr, "out of memory: an op's scratch needs {} bytes", rounded);
    bytes_ = rounded;
  }
  return data_;
}

void check_shape(const char* op, const char* name, const TensorView& t, int64_t rows, int64_t cols) {
  check(t.rows == rows && t.cols == cols, "{}: {} is [{}, {}], expected [{}, {}]", op, name, t.rows, t.cols, rows, cols);
  check(t.rows <= 1 || t.stride >= t.cols, "{}: {} is [{}, {}] with a row stride of {}", op, name, t.rows, t.cols, t.stride);
  check(t.empty() || t.data != nullptr, "{}: {} is [{}, {}] but has no data", op, name, t.rows, t.cols);
}

void check_float32(const char* op, const char* name, const TensorView& t) {
  check(t.dtype == DType::kFloat32, "{}: {} [{}, {}] is {}, expected float32", op, name, t.rows, t.cols, name_of(t.dtype));
}

void check_floating(const char* op, const char* name, const TensorView& t) {
  check(t.dtype != DType::kInt32, "{}: {} [{}, {}] is {}, expected float32, bfloat16 or float16", op, name, t.rows, t.cols,
        name_of(t.dtype));
}

void check_optional_vector(const char* op, const char* name, const TensorView& t, int64_t cols) {
  if (t.data == nullptr) return;
  check_floating(op, name, t);
  check_shape(op, name, t, 1, cols);
}

void CpuOps::scatter(int32_t* to, const int64_t* places, const int32_t* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (places[i] >= 0) to[places[i]] = values[i];
  }
}

void CpuOps::resolve_tokens(const BatchView& batch, const int32_t* last_token) {
  for (int32_t t = 0; t < batch.num_tokens; ++t) {
    if (batch.token_ids[t] < 0) batch.token_ids[t] = last_token[batch.token_slot[t]];
  }
}

void CpuOps::embedding(TensorView out, TensorView table, int64_t vocab_begin, const BatchView& batch) {
  check_float32("embedding", "out", out);
  check_floating("embedding", "table", table);
  check_shape("embedding", "out", out, batch.num_tokens, out.cols);
  check_shape("embedding", "table", table, table.rows, out.cols);
  pool_.parallel_for(out.rows, row_grain(out.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = out.slice_rows(t, 1).as<float>();
      const int64_t id = batch.token_ids[t] - vocab_begin;
      if (id >= 0 && id < table.rows) {
        kernels_.to_float(row, table.slice_rows(id, 1).data, table.dtype, out.cols);
      } else {
        std::fill_n(row, out.cols, 0.0f);
      }
    }
  });
}

void CpuOps::rope_table(TensorView cos_sin, const float* inv_freq, const BatchView& batch) {
  check_float32("rope_table", "cos_sin", cos_sin);
  check_shape("rope_table", "cos_sin", cos_sin, batch.num_tokens, cos_sin.cols);
  check(cos_sin.cols % 2 == 0, "rope_table: cos_sin is [{}, {}], expected an even number of columns", cos_sin.rows, cos_sin.cols);
  pool_.parallel_for(cos_sin.rows, std::max<int64_t>(1, row_grain(cos_sin.cols) / 16), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = cos_sin.slice_rows(t, 1).as<float>();
      for (int64_t i = 0; i < cos_sin.cols / 2; ++i) {
        // The angle is rounded to float32 first, as transformers does; its cosine is then exact to the last bit or so.
        const auto angle = static_cast<double>(static_cast<float>(batch.positions[t]) * inv_freq[i]);
        row[2 * i] = static_cast<float>(std::cos(angle));
        row[2 * i + 1] = static_cast<float>(std::sin(angle));
      }
    }
  });
}

void CpuOps::gather_rows(TensorView out, TensorView x, const int32_t* rows) {
  check(out.dtype == x.dtype, "gather_rows: out is {}, x is {}", name_of(out.dtype), name_of(x.dtype));
  check_shape("gather_rows", "out", out, out.rows, x.cols);
  check_shape("gather_rows", "x", x, x.rows, x.cols);
  if (out.empty()) return;
  for (int64_t i = 0; i < out.rows; ++i) {
    check(rows[i] >= 0 && rows[i] < x.rows, "gather_rows: row {} of out asks for row {} of x [{}, {}]", i, rows[i], x.rows,
          x.cols);
    std::memcpy(out.slice_rows(i, 1).data, x.slice_rows(rows[i], 1).data, static_cast<size_t>(x.cols) * size_of(x.dtype));
  }
}

void CpuOps::fill_random(TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0, int64_t full_cols) {
  check_floating("fill_random", "out", out);
  check_shape("fill_random", "out", out, out.rows, out.cols);
  constexpr int64_t kRun = 1024;
  const int64_t runs = (out.cols + kRun - 1) / kRun;  // of one row
  pool_.parallel_for(out.rows * runs, 8, [&](int64_t begin, int64_t end) {
    float values[kRun];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / runs, c = i % runs * kRun;
      const int64_t n = std::min(kRun, out.cols - c);
      const auto first = static_cast<uint64_t>((row0 + r) * full_cols + col0 + c);
      for (int64_t j = 0; j < n; ++j) values[j] = dummy_weight(seed, first + static_cast<uint64_t>(j), scale);
      kernels_.from_float(out.slice_rows(r, 1).slice_cols(c, n).data, out.dtype, values, n);
    }
  });
}

void CpuOps::fill(TensorView out, float value) {
  check_floating("fill", "out", out);
  check_shape("fill", "out", out, out.rows, out.cols);
  pool_.parallel_for(out.rows, row_grain(out.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const TensorView row = out.slice_rows(r, 1);
      switch (out.dtype) {
        case DType::kBFloat16: std::fill_n(row.as<uint16_t>(), out.cols, float_to_bf16(value)); break;
        case DType::kFloat16: std::fill_n(row.as<uint16_t>(), out.cols, float_to_f16(value)); break;
        default: std::fill_n(row.as<float>(), out.cols, value);
      }
    }
  });
}

}  // namespace lockstep::cpu
