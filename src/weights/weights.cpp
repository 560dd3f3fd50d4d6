#include "weights/weights.h"

#include <cmath>
#include <string_view>

#include "base/error.h"
#include "kernels/ops.h"
#include "kernels/random.h"
#include "weights/coverage.h"

namespace lockstep {
namespace {

constexpr size_t kAlignment = 256;  // bytes; of every parameter, for vector and TMA loads

// FNV-1a (Fowler, Noll, Vo), then mixed with the seed: the same for a tensor however it is cut.
uint64_t tensor_seed(std::string_view tensor, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : tensor) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix64(hash ^ mix64(seed));
}

bool is_norm(std::string_view tensor) {
  constexpr std::string_view kEnd = "norm.weight";  // input_layernorm, q_norm, model.norm, ...
  return tensor.size() >= kEnd.size() && tensor.substr(tensor.size() - kEnd.size()) == kEnd;
}

}  // namespace

size_t Weights::bytes_needed(const Parameter& p, DType dtype) {
  const size_t bytes = static_cast<size_t>(p.rows * p.cols) * size_of(dtype);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

size_t Weights::bytes_needed(const Partition& partition, DType dtype) {
  size_t bytes = 0;
  for (const Parameter& p : partition.parameters) bytes += bytes_needed(p, dtype);
  return bytes;
}

Weights::Weights(Backend& backend, const Partition& partition, DType dtype)
    : dtype_(dtype), buffer_(backend, bytes_needed(partition, dtype), "weights") {
  size_t offset = 0;
  for (const Parameter& p : partition.parameters) {
    const bool fresh = views_.emplace(p.name, TensorView(buffer_.as<char>() + offset, dtype, p.rows, p.cols)).second;
    check(fresh, "the partition has parameter '{}' twice", p.name);
    offset += bytes_needed(p, dtype);
  }
}

TensorView Weights::get(const std::string& name) const {
  const auto found = views_.find(name);
  check(found != views_.end(), "the model has no parameter '{}'", name);
  return found->second;
}

TensorView Weights::find(const std::string& name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? TensorView() : found->second;
}

void fill_dummy(Weights& weights, const Partition& partition, uint64_t seed, Backend& backend) {
  check_coverage(partition);
  const float scale = 0.02f * std::sqrt(3.0f);  // uniform in [-a, a) has standard deviation a / sqrt(3)
  for (const Piece& p : partition.pieces) {
    const Range rows = p.matrix_rows();
    const Range cols = p.matrix_cols();
    const TensorView whole = weights.get(partition.parameters[p.parameter].name);
    const TensorView out = whole.slice_rows(p.to_row, rows.size()).slice_cols(p.to_col, cols.size());
    if (is_norm(p.tensor)) {
      backend.ops().fill(out, 1.0f);
    } else {
      backend.ops().fill_random(out, tensor_seed(p.tensor, seed), scale, rows.begin, cols.begin, p.full_cols());
    }
  }
  backend.synchronize();
}

}  // namespace lockstep
