// Makes safetensors files by hand, good and bad.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "partition/partition.h"
#include "weights/tensor_source.h"

namespace lockstep::testing {

// A directory that removes itself.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "lockstep_weights_XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr, "cannot make a temporary directory");
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// A file with this header text, whatever it is, and this data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i) & 0xff);
  return out + header + data;
}

inline std::string format_dtype(DType t) {
  return t == DType::kFloat32 ? "F32" : t == DType::kBFloat16 ? "BF16" : t == DType::kFloat16 ? "F16" : "I32";
}

struct TestTensor {
  std::string name;
  DType dtype = DType::kFloat32;
  std::vector<int64_t> shape;
  std::string bytes;
};

inline int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

inline std::string safetensors_file(const std::vector<TestTensor>& tensors) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  std::string data;
  for (const TestTensor& t : tensors) {
    header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", t.name, format_dtype(t.dtype),
                          shape_text(t.shape), data.size(), data.size() + t.bytes.size());
    data += t.bytes;
  }
  header += "}";
  header += std::string((8 - header.size() % 8) % 8, ' ');
  return safetensors_bytes(header, data);
}

// Random finite numbers of moderate size, each a bit pattern of the dtype.
inline TestTensor random_tensor(const std::string& name, DType dtype, const std::vector<int64_t>& shape, std::mt19937& random) {
  TestTensor t{name, dtype, shape, std::string(static_cast<size_t>(count_of(shape)) * size_of(dtype), '\0')};
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < count_of(shape); ++i) {
    const float x = normal(random);
    if (dtype == DType::kFloat32) {
      reinterpret_cast<float*>(t.bytes.data())[i] = x;
    } else {
      reinterpret_cast<uint16_t*>(t.bytes.data())[i] = dtype == DType::kBFloat16 ? float_to_bf16(x) : float_to_f16(x);
    }
  }
  return t;
}

inline float element(const void* data, DType dtype, int64_t i) {
  if (dtype == DType::kFloat32) return static_cast<const float*>(data)[i];
  const uint16_t x = static_cast<const uint16_t*>(data)[i];
  return dtype == DType::kBFloat16 ? bf16_to_float(x) : f16_to_float(x);
}

inline ModelConfig tiny_config() {
  ModelConfig c;
  c.architecture = "Qwen3ForCausalLM";
  c.vocab_size = 101;
  c.hidden_size = 10;
  c.intermediate_size = 75;
  c.num_layers = 2;
  c.num_heads = 6;
  c.num_kv_heads = 3;
  c.head_dim = 4;
  c.qkv_bias = c.o_bias = c.mlp_bias = c.qk_norm = true;
  return c;
}

// Every tensor of the model, random.
inline std::vector<TestTensor> random_checkpoint(const ModelConfig& config, DType dtype, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::vector<TestTensor> tensors;
  for (const CheckpointTensor& t : make_partition(config, 1, 0).tensors) {
    tensors.push_back(random_tensor(t.name, dtype, t.shape, random));
  }
  return tensors;
}

// What `action` throws, as text; empty when it throws no Error.
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace lockstep::testing
