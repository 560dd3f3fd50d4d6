// A safetensors file: the first byte says how many bytes of data follow the header, the rest is the header's text.
#include <numeric>

#include "fuzz.h"
#include "weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  if (size == 0) return 0;
  const int64_t data_bytes = data[0] < 255 ? data[0] : INT64_MAX;
  const std::string text = fuzz::text_of(data + 1, size - 1);
  fuzz::allow_error([&] {
    const SafetensorsHeader header = parse_safetensors_header(text, data_bytes, "FILE");
    // Whatever is taken covers the data exactly, in order, with shapes that make the sizes.
    int64_t position = 0;
    for (const SafetensorsHeader::Entry& e : header.entries) {
      fuzz::require(e.begin == position && e.tensor.bytes >= 0);
      position += e.tensor.bytes;
      if (!e.tensor.dtype) continue;
      int64_t bytes = static_cast<int64_t>(size_of(*e.tensor.dtype));
      for (const int64_t n : e.tensor.shape) bytes *= n;
      fuzz::require(bytes == e.tensor.bytes);
    }
    fuzz::require(position == data_bytes);
  });
  return 0;
}
