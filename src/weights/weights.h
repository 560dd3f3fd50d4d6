// Weights: this rank's parameters in device memory, by name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <unordered_map>

#include "base/tensor.h"
#include "kernels/backend.h"
#include "partition/partition.h"
#include "weights/tensor_source.h"

namespace lockstep {

struct LoadReport {
  int64_t bytes_read = 0;        // from the checkpoint, tensor data only
  int64_t header_bytes = 0;      // headers and index
  int64_t checkpoint_bytes = 0;  // tensor data of the whole checkpoint
  double seconds = 0.0;          // headers included
};

class Weights {
 public:
  // Allocates every parameter of the partition in `dtype`, in one buffer, each 256-byte aligned; contents undefined.
  Weights(Backend& backend, const Partition& partition, DType dtype);
  static size_t bytes_needed(const Partition& partition, DType dtype);  // what that allocates
  static size_t bytes_needed(const Parameter& parameter, DType dtype);  // of it, one parameter's
  TensorView get(const std::string& name) const;                        // throws Error for an unknown name
  TensorView find(const std::string& name) const;                       // data == nullptr for an unknown name
  DType dtype() const { return dtype_; }
  const void* data() const { return buffer_.data(); }
  size_t bytes() const { return buffer_.bytes(); }

 private:
  DType dtype_;
  Buffer buffer_;
  std::unordered_map<std::string, TensorView> views_;
};

// Called now and then while loading, with bytes done and bytes to do; for progress bars and the watchdog's deadline.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

// Reads this rank's slices of the safetensors checkpoint in `directory`, converts them to the weights' dtype and copies them to
// the device. Every destination byte must be written exactly once. Throws Error naming the tensor that is missing, unknown,
// truncated, overlapping, wrongly shaped or wrongly typed.
// Reads in a few threads of its own; the backend is used, and `progress` (may be empty) called, from the calling thread only. An
// exception from `progress` ends the load.
LoadReport load_checkpoint(Weights& weights, const Partition& partition, const std::filesystem::path& directory, Backend& backend,
                           const LoadProgress& progress);

// A hash over what the index and the headers of the safetensors checkpoint in `directory` say: names, dtypes, shapes, files and
// places; the tensors' data is not read. Throws Error as load_checkpoint() does where they cannot be read.
uint64_t checkpoint_hash(const std::filesystem::path& directory);

// The same from any other source of tensors.
LoadReport load_tensors(Weights& weights, const Partition& partition, const TensorSource& source, Backend& backend,
                        const LoadProgress& progress);

// What the files give: reads the same pieces in the same chunks with as many threads as load_tensors() would for weights in
// `dtype`, but into a few buffers that are used again and again, and keeps nothing. For `bench load`.
LoadReport read_tensors(const Partition& partition, const TensorSource& source, DType dtype);

// --load-format dummy: random linears and embeddings (uniform, standard deviation 0.02), norms 1, biases small; the same whole
// model for every tp.
void fill_dummy(Weights& weights, const Partition& partition, uint64_t seed, Backend& backend);

}  // namespace lockstep
