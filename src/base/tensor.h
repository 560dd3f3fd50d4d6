// TensorView: a two-dimensional, row-major view of memory that somebody else owns (host or device).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace lockstep {

// Element (r, c) lies at data + (r * stride + c) * size_of(dtype). A vector is one row.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements between rows; >= cols

  TensorView() = default;
  TensorView(void* data_, DType dtype_, int64_t rows_, int64_t cols_)
      : data(data_), dtype(dtype_), rows(rows_), cols(cols_), stride(cols_) {}
  TensorView(void* data_, DType dtype_, int64_t rows_, int64_t cols_, int64_t stride_)
      : data(data_), dtype(dtype_), rows(rows_), cols(cols_), stride(stride_) {}

  bool empty() const { return rows == 0 || cols == 0; }
  bool contiguous() const { return stride == cols || rows <= 1; }
  int64_t count() const { return rows * cols; }
  size_t bytes() const { return static_cast<size_t>(rows * cols) * size_of(dtype); }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  // The rows [begin, begin + n).
  TensorView slice_rows(int64_t begin, int64_t n) const {
    return {static_cast<char*>(data) + begin * stride * static_cast<int64_t>(size_of(dtype)), dtype, n, cols, stride};
  }
  // The columns [begin, begin + n); keeps the stride.
  TensorView slice_cols(int64_t begin, int64_t n) const {
    return {static_cast<char*>(data) + begin * static_cast<int64_t>(size_of(dtype)), dtype, rows, n, stride};
  }
};

}  // namespace lockstep
