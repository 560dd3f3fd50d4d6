// A model.safetensors.index.json.
#include "fuzz.h"
#include "weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string text = fuzz::text_of(data, size);
  fuzz::allow_error([&] {
    for (const auto& [tensor, file] : parse_safetensors_index(text, "FILE")) {
      // Joined to the directory, it must stay a file of it.
      const std::filesystem::path joined = std::filesystem::path("directory") / file;
      fuzz::require(joined.parent_path() == "directory" && joined.lexically_normal() == joined);
    }
  });
  return 0;
}
