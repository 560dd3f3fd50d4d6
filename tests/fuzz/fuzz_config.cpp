// A config.json: into a document, a model, and its partitions.
#include "config/document.h"
#include "config/map_reader.h"
#include "config/model_reader.h"
#include "model_of.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string text = fuzz::text_of(data, size);
  fuzz::allow_error([&] {
    const Node root = parse_json(text, "FILE");
    MapReader keys(root, "FILE", "");
    fuzz::use_model(read_model(keys, UnknownKeys::kIgnore, 0));
  });
  return 0;
}
