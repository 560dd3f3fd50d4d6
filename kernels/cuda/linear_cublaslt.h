// CublasLinear: out = x · wᵀ through cuBLASLt, with one plan (descriptors and algorithm) a shape, made at its first use.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/tensor.h"

namespace lockstep::cuda {

class CublasLinear {
 public:
  // workspace: device memory that only this object uses.
  CublasLinear(cudaStream_t stream, void* workspace, size_t workspace_bytes);
  ~CublasLinear();
  CublasLinear(const CublasLinear&) = delete;
  CublasLinear& operator=(const CublasLinear&) = delete;

  // Whether run() adds this bias itself.
  static bool fuses_bias(TensorView out, TensorView bias);
  // out: [M, N] x's dtype or float32; x: [M, K]; w: [N, K] contiguous; M, N, K > 0; float32 accumulation, and for float32
  // operands float32 products (no TF32). bias: [1, N] for which fuses_bias() holds, or data == nullptr. add: out += instead of
  // out =. False, and nothing done, when cuBLASLt has no algorithm for these shapes and alignments.
  bool run(TensorView out, TensorView x, TensorView w, TensorView bias, bool add);

 private:
  struct Key {
    int64_t m, n, k, x_stride, w_stride, out_stride;
    uint32_t x_alignment, w_alignment, out_alignment;
    DType dtype, out_dtype;
    bool has_bias;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Plan;

  std::unique_ptr<Plan> make_plan(const Key& key, const void* bias) const;

  cudaStream_t stream_;
  void* workspace_;
  size_t workspace_bytes_;
  cublasLtHandle_t handle_ = nullptr;
  std::unordered_map<Key, std::unique_ptr<Plan>, KeyHash> plans_;  // null: cuBLASLt has none
};

}  // namespace lockstep::cuda
