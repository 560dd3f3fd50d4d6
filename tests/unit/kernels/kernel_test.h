// The fixture of every op's test: one body for each backend and dtype. Inputs are random, outputs are poisoned with NaN, and a
// comparison fails on NaN and names shape and coordinate.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "kernels/backend.h"
#include "kernels/ops.h"

namespace lockstep::test {

struct AttentionCase;  // attention_case.h

struct KernelParam {
  std::string backend;  // "scalar", "avx2", "avx512", "avx512bf16", "amxbf16" (the CPU with at most this) or "cuda"
  DType dtype;          // of weights and KV cache

  bool has_bf16_products() const { return backend == "avx512bf16" || backend == "amxbf16"; }
};
void PrintTo(const KernelParam& param, std::ostream* out);
std::string param_name(const ::testing::TestParamInfo<KernelParam>& info);
// backends x {float32, bfloat16, float16}.
std::vector<KernelParam> params_for(const std::vector<std::string>& backends);

// The nearest value of `dtype`, as float32.
float rounded(DType dtype, float x);

// A matrix on the host: float32 values that `dtype` represents exactly, row-major without gaps.
struct HostTensor {
  DType dtype = DType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> values;

  float& at(int64_t r, int64_t c) { return values[static_cast<size_t>(r * cols + c)]; }
  float at(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * cols + c)]; }
  HostTensor rows_of(int64_t begin, int64_t n) const;
};

// A matrix on the device; rows may be `stride` elements apart.
struct DeviceTensor {
  Buffer buffer;
  TensorView view;
};

// An array on the device.
template <typename T>
struct DeviceArray {
  Buffer buffer;
  T* data() const { return buffer.as<T>(); }
};

// How far a result may be from the reference in double: absolute + relative * |reference|.
struct Tolerance {
  double absolute;
  double relative;
};
// The rounding of one store of `dtype`, over a float32 computation whose own error is `absolute`.
Tolerance tolerance_of(DType dtype, double absolute);

class KernelTest : public ::testing::TestWithParam<KernelParam> {
 protected:
  void SetUp() override;
  void TearDown() override;

  Backend& backend() { return *backend_; }
  Ops& ops() { return backend_->ops(); }
  DType dtype() const { return GetParam().dtype; }
  DType act() const { return backend_->activation_dtype(dtype()); }

  // Uniform in [-scale, scale), rounded to dtype; fails the test if all are equal.
  HostTensor random(DType dtype, int64_t rows, int64_t cols, float scale = 1.0f);
  // Whether what meets the weights or the cache is rounded to bfloat16 first (AVX-512 BF16; see kernels/cpu/kernels.h).
  bool rounds_operands() const { return GetParam().has_bf16_products() && dtype() == DType::kBFloat16; }
  // Random activations that the backend multiplies as they are.
  HostTensor operand(int64_t rows, int64_t cols, float scale = 1.0f);
  DeviceTensor upload(const HostTensor& t, int64_t extra_stride = 0);
  DeviceTensor poisoned(DType dtype, int64_t rows, int64_t cols, int64_t extra_stride = 0);
  // Fails the test if a gap between rows is no longer NaN.
  HostTensor download(const DeviceTensor& t);

  template <typename T>
  DeviceArray<T> upload_array(const std::vector<T>& values) {
    DeviceArray<T> array{Buffer(backend(), std::max<size_t>(1, values.size()) * sizeof(T), "test array")};
    if (!values.empty()) backend().copy_to_device(array.data(), values.data(), values.size() * sizeof(T));
    return array;
  }
  template <typename T>
  std::vector<T> download_array(const T* data, size_t n) {
    std::vector<T> values(n);
    if (n > 0) backend().copy_to_host(values.data(), data, n * sizeof(T));
    backend().synchronize();
    return values;
  }

  // attention_test.cpp: attention() of random inputs against the reference; what no sequence has written of the cache is NaN.
  void check_attention(const AttentionCase& c);
  // rope_attention() of one query token a sequence against the references, the cache included.
  void check_rope_attention(const AttentionCase& c, bool norm);

  std::mt19937 rng_{20240611};

 private:
  Backend* backend_ = nullptr;
};

void expect_close(const HostTensor& actual, const std::vector<double>& expected, Tolerance tolerance, const std::string& what);

// A step's batch on the host and on the device.
struct SequenceShape {
  int32_t query_len;
  int32_t context_len;
};
struct HostBatch {
  std::vector<int32_t> token_ids, positions, token_slot, query_start, context_len, seq_slot, block_tables;
  std::vector<int64_t> kv_index;
  int64_t block_table_stride = 0;
  int64_t block_size = 0;
  int64_t num_blocks = 0;
  int32_t max_num_seqs = 0;

  int64_t num_tokens() const { return static_cast<int64_t>(token_ids.size()); }
  // Place of a position of sequence s: block * block_size + offset.
  int64_t place(int64_t s, int64_t position) const;
};
// Sequences in shuffled slots, their context in shuffled blocks. {1, 0} pads the batch, as BatchView says.
HostBatch make_batch(const std::vector<SequenceShape>& sequences, int64_t block_size, int32_t vocab, std::mt19937& rng);

class DeviceBatch {
 public:
  DeviceBatch(Backend& backend, const HostBatch& host);
  BatchView view;

 private:
  std::vector<Buffer> buffers_;
};

}  // namespace lockstep::test
