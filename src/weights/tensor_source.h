// TensorSource: a checkpoint as a list of tensors of which any run of elements can be read. Safetensors is one implementation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace lockstep {

struct SourceTensor {
  std::string name;
  std::string dtype_name;      // the format's own: "BF16"
  std::optional<DType> dtype;  // absent: known to the format, but not a dtype that can be loaded
  std::vector<int64_t> shape;
  int64_t bytes = 0;
  std::string file;  // for messages: the file's name within the checkpoint
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // Names are unique. In the order of the files.
  virtual const std::vector<SourceTensor>& tensors() const = 0;
  // Elements [first, first + count) of tensors()[tensor] in row-major order, in the tensor's own dtype, which must be loadable.
  // Reads these bytes of the file and no others. Safe from several threads. Throws Error when they cannot be read or lie outside
  // the tensor.
  virtual void read(size_t tensor, int64_t first, int64_t count, void* to) const = 0;
  // Bytes that were read to know the above.
  virtual int64_t header_bytes() const = 0;
  // Where it is, for messages.
  virtual std::string where() const = 0;
  // What the files say about themselves, in order, one line each; for people.
  virtual std::vector<std::string> notes() const = 0;
};

// Tensor data of the whole checkpoint.
inline int64_t total_bytes(const TensorSource& source) {
  int64_t bytes = 0;
  for (const SourceTensor& t : source.tensors()) bytes += t.bytes;
  return bytes;
}

// "[49152, 576]".
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace lockstep
