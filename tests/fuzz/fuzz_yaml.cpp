// A YAML file: the section `model` as an architecture, the section `engine` as options.
#include "config/document.h"
#include "config/engine_flags.h"
#include "config/map_reader.h"
#include "config/model_reader.h"
#include "model_of.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string text = fuzz::text_of(data, size);
  fuzz::allow_error([&] {
    const Node root = parse_yaml(text, "FILE");
    MapReader top(root, "FILE", "");
    if (const Node* engine = top.find_value("engine")) {
      EngineOptions options;
      fuzz::allow_error([&] { apply_engine_settings(MapReader(*engine, "FILE", "engine"), options); });
    }
    if (const Node* model = top.find_value("model")) {
      MapReader keys(*model, "FILE", "model");
      fuzz::use_model(read_model(keys, UnknownKeys::kRefuse, 0));
    }
  });
  return 0;
}
