#include "unit/kernels/kernel_test.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <numeric>

namespace lockstep::test {
namespace {

// Backends live as long as the process: making one is slow on CUDA.
Backend& cached_backend(const std::string& name) {
  static std::map<std::string, std::unique_ptr<Backend>> backends;
  auto& backend = backends[name];
  if (!backend) backend = name == "cuda" ? make_cuda_backend(0) : make_cpu_backend(3, name);
  return *backend;
}

uint16_t to_half(DType dtype, float x) { return dtype == DType::kBFloat16 ? float_to_bf16(x) : float_to_f16(x); }
float from_half(DType dtype, uint16_t x) { return dtype == DType::kBFloat16 ? bf16_to_float(x) : f16_to_float(x); }

std::vector<char> encode(const HostTensor& t, int64_t stride) {
  const auto count = static_cast<size_t>(t.rows * stride);
  std::vector<char> bytes(count * size_of(t.dtype));
  for (size_t i = 0; i < count; ++i) {
    const auto r = static_cast<int64_t>(i) / stride, c = static_cast<int64_t>(i) % stride;
    const float x = c < t.cols ? t.at(r, c) : std::numeric_limits<float>::quiet_NaN();
    if (t.dtype == DType::kFloat32) {
      std::memcpy(bytes.data() + i * 4, &x, 4);
    } else {
      const uint16_t half = to_half(t.dtype, x);
      std::memcpy(bytes.data() + i * 2, &half, 2);
    }
  }
  return bytes;
}

}  // namespace

void PrintTo(const KernelParam& param, std::ostream* out) { *out << param.backend << " " << name_of(param.dtype); }

float rounded(DType dtype, float x) { return dtype == DType::kFloat32 ? x : from_half(dtype, to_half(dtype, x)); }

std::string param_name(const ::testing::TestParamInfo<KernelParam>& info) {
  return info.param.backend + "_" + std::string(name_of(info.param.dtype));
}

std::vector<KernelParam> params_for(const std::vector<std::string>& backends) {
  std::vector<KernelParam> params;
  for (const std::string& backend : backends) {
    for (DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) params.push_back({backend, dtype});
  }
  return params;
}

HostTensor HostTensor::rows_of(int64_t begin, int64_t n) const {
  return {dtype, n, cols, std::vector<float>(values.begin() + begin * cols, values.begin() + (begin + n) * cols)};
}

Tolerance tolerance_of(DType dtype, double absolute) {
  switch (dtype) {
    case DType::kBFloat16: return {absolute, 1.01 / 256};
    case DType::kFloat16: return {absolute + 1e-7, 1.01 / 2048};
    default: return {absolute, 1e-6};
  }
}

void KernelTest::SetUp() {
  const std::string& name = GetParam().backend;
  if (name == "cuda") {
    const CudaPlatform platform = probe_cuda();
    if (platform.device_count == 0) GTEST_SKIP() << "no CUDA device: " << platform.why_unavailable;
  }
  backend_ = &cached_backend(name);
  if (name != "cuda" && backend_->description().find(name) == std::string::npos) {
    GTEST_SKIP() << "this processor has no " << name << ": the backend is '" << backend_->description() << "'";
  }
}

void KernelTest::TearDown() {
  if (backend_ != nullptr) backend_->synchronize();
}

HostTensor KernelTest::random(DType dtype, int64_t rows, int64_t cols, float scale) {
  HostTensor t{dtype, rows, cols, std::vector<float>(static_cast<size_t>(rows * cols))};
  std::uniform_real_distribution<float> uniform(-scale, scale);
  for (float& x : t.values) x = rounded(dtype, uniform(rng_));
  if (t.values.size() > 4) {
    EXPECT_NE(*std::min_element(t.values.begin(), t.values.end()), *std::max_element(t.values.begin(), t.values.end()))
        << "constant input";
  }
  return t;
}

HostTensor KernelTest::operand(int64_t rows, int64_t cols, float scale) {
  HostTensor t = random(rounds_operands() ? DType::kBFloat16 : act(), rows, cols, scale);
  t.dtype = act();
  return t;
}

DeviceTensor KernelTest::upload(const HostTensor& t, int64_t extra_stride) {
  const int64_t stride = t.cols + extra_stride;
  const std::vector<char> bytes = encode(t, stride);
  DeviceTensor device{Buffer(backend(), std::max<size_t>(bytes.size(), 1), "test tensor"), {}};
  if (!bytes.empty()) backend().copy_to_device(device.buffer.data(), bytes.data(), bytes.size());
  backend().synchronize();
  device.view = TensorView(device.buffer.data(), t.dtype, t.rows, t.cols, stride);
  return device;
}

DeviceTensor KernelTest::poisoned(DType dtype, int64_t rows, int64_t cols, int64_t extra_stride) {
  HostTensor t{dtype, rows, cols, std::vector<float>(static_cast<size_t>(rows * cols), std::numeric_limits<float>::quiet_NaN())};
  return upload(t, extra_stride);
}

HostTensor KernelTest::download(const DeviceTensor& t) {
  const TensorView& v = t.view;
  const auto count = static_cast<size_t>(v.rows * v.stride);
  const std::vector<char> bytes = download_array(static_cast<const char*>(t.buffer.data()), count * size_of(v.dtype));
  HostTensor host{v.dtype, v.rows, v.cols, std::vector<float>(static_cast<size_t>(v.rows * v.cols))};
  for (int64_t r = 0; r < v.rows; ++r) {
    for (int64_t c = 0; c < v.stride; ++c) {
      const auto i = static_cast<size_t>(r * v.stride + c);
      float x = 0.0f;
      if (v.dtype == DType::kFloat32) {
        std::memcpy(&x, bytes.data() + i * 4, 4);
      } else {
        uint16_t half = 0;
        std::memcpy(&half, bytes.data() + i * 2, 2);
        x = from_half(v.dtype, half);
      }
      if (c < v.cols) {
        host.at(r, c) = x;
      } else {
        EXPECT_TRUE(std::isnan(x)) << "the gap after row " << r << " was written: column " << c << " is " << x;
      }
    }
  }
  return host;
}

void expect_close(const HostTensor& actual, const std::vector<double>& expected, Tolerance tolerance, const std::string& what) {
  ASSERT_EQ(actual.values.size(), expected.size()) << what;
  int reported = 0;
  for (int64_t r = 0; r < actual.rows; ++r) {
    for (int64_t c = 0; c < actual.cols; ++c) {
      const double e = expected[static_cast<size_t>(r * actual.cols + c)], a = actual.at(r, c);
      const double allowed = tolerance.absolute + tolerance.relative * std::abs(e);
      if (!(std::abs(a - e) <= allowed)) {
        ADD_FAILURE() << what << ": [" << r << ", " << c << "] of [" << actual.rows << ", " << actual.cols << "] is " << a
                      << ", expected " << e << " within " << allowed;
        if (++reported == 5) return;
      }
    }
  }
}

int64_t HostBatch::place(int64_t s, int64_t position) const {
  const auto entry = static_cast<size_t>(seq_slot[static_cast<size_t>(s)] * block_table_stride + position / block_size);
  return block_tables[entry] * block_size + position % block_size;
}

HostBatch make_batch(const std::vector<SequenceShape>& sequences, int64_t block_size, int32_t vocab, std::mt19937& rng) {
  HostBatch batch;
  batch.block_size = block_size;
  batch.max_num_seqs = static_cast<int32_t>(sequences.size()) + 2;
  int64_t longest = 1, blocks = 3;
  for (const SequenceShape& s : sequences) {
    longest = std::max<int64_t>(longest, s.context_len);
    blocks += (s.context_len + block_size - 1) / block_size;
  }
  batch.num_blocks = blocks;
  batch.block_table_stride = (longest + block_size - 1) / block_size + 1;
  batch.block_tables.assign(static_cast<size_t>(batch.max_num_seqs * batch.block_table_stride), -1);
  std::vector<int32_t> free_blocks(static_cast<size_t>(blocks)), slots(static_cast<size_t>(batch.max_num_seqs));
  std::iota(free_blocks.begin(), free_blocks.end(), 0);
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(free_blocks.begin(), free_blocks.end(), rng);
  std::shuffle(slots.begin(), slots.end(), rng);
  batch.query_start.push_back(0);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto [query_len, context_len] = sequences[s];
    batch.seq_slot.push_back(slots[s]);
    batch.context_len.push_back(context_len);
    for (int64_t b = 0; b * block_size < context_len; ++b) {
      batch.block_tables[static_cast<size_t>(slots[s] * batch.block_table_stride + b)] = free_blocks.back();
      free_blocks.pop_back();
    }
    const bool padding = context_len == 0;
    for (int32_t i = padding ? 0 : context_len - query_len; i < (padding ? 1 : context_len); ++i) {
      batch.token_ids.push_back(static_cast<int32_t>(rng() % static_cast<uint32_t>(vocab)));
      batch.positions.push_back(i);
      batch.token_slot.push_back(slots[s]);
      batch.kv_index.push_back(padding ? -1 : batch.place(static_cast<int64_t>(s), i));
    }
    batch.query_start.push_back(static_cast<int32_t>(batch.token_ids.size()));
  }
  return batch;
}

DeviceBatch::DeviceBatch(Backend& backend, const HostBatch& host) {
  const auto put = [&]<typename T>(const std::vector<T>& values) {
    buffers_.emplace_back(backend, std::max<size_t>(values.size(), 1) * sizeof(T), "test batch");
    if (!values.empty()) backend.copy_to_device(buffers_.back().data(), values.data(), values.size() * sizeof(T));
    backend.synchronize();
    return buffers_.back().as<T>();
  };
  view.num_tokens = static_cast<int32_t>(host.token_ids.size());
  view.num_seqs = static_cast<int32_t>(host.seq_slot.size());
  for (size_t s = 0; s < host.seq_slot.size(); ++s) {
    view.max_query_len = std::max(view.max_query_len, host.query_start[s + 1] - host.query_start[s]);
    view.max_context_len = std::max(view.max_context_len, host.context_len[s]);
  }
  view.token_ids = put(host.token_ids);
  view.positions = put(host.positions);
  view.token_slot = put(host.token_slot);
  view.kv_index = put(host.kv_index);
  view.query_start = put(host.query_start);
  view.context_len = put(host.context_len);
  view.seq_slot = put(host.seq_slot);
  view.block_tables = put(host.block_tables);
  view.block_table_stride = host.block_table_stride;
}

}  // namespace lockstep::test
