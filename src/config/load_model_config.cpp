// load_model_config(): the two kinds of files that describe a model.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "config/document.h"
#include "config/engine_flags.h"
#include "config/map_reader.h"
#include "config/model_config.h"
#include "config/model_files.h"
#include "config/model_reader.h"

namespace lockstep {
namespace fs = std::filesystem;
namespace {

// generation_config.json is where a model's authors keep the tokens that really end an answer; it wins over config.json.
void apply_generation_config(const fs::path& file, ModelConfig& config) {
  const Node root = read_json(file);
  MapReader keys(root, file.string(), "");
  if (const auto eos = keys.token_ids("eos_token_id", config.vocab_size)) config.eos_token_ids = *eos;
  if (const auto bos = keys.integer("bos_token_id", 0, config.vocab_size - 1)) config.bos_token_id = static_cast<int32_t>(*bos);
}

fs::path tokenizer_in(const fs::path& directory) { return is_listed(directory / "tokenizer.json") ? directory : fs::path(); }

ModelConfig load_directory(const fs::path& given, int64_t max_model_len) {
  const fs::path directory = fs::absolute(given).lexically_normal();
  const fs::path file = directory / "config.json";
  check(is_listed(file),
        "{}: no config.json in this directory; a Hugging Face model has one, or describe the architecture in a YAML file (see "
        "configs/models)",
        directory.string());
  const Node root = read_json(file);
  MapReader keys(root, file.string(), "");
  ModelConfig config = read_model(keys, UnknownKeys::kIgnore, max_model_len);
  if (is_listed(directory / "generation_config.json")) apply_generation_config(directory / "generation_config.json", config);
  config.weights = directory;
  config.tokenizer = tokenizer_in(directory);
  return config;
}

// A path in a YAML file is relative to that file.
std::optional<fs::path> read_path(MapReader& keys, const char* key, const fs::path& base) {
  const std::optional<std::string> path = keys.text(key);
  if (!path) return std::nullopt;
  return fs::absolute(base / *path).lexically_normal();
}

MapReader section(MapReader& top, const char* key) {
  const Node* node = top.find(key);
  if (node == nullptr) top.refuse(key, "a map of the architecture, or of `path` to a Hugging Face directory");
  return MapReader(*node, top.file(), key);
}

void apply_engine(MapReader& top, EngineOptions& options) {
  if (const Node* node = top.find_value("engine")) {
    const MapReader engine(*node, top.file(), "engine");
    apply_engine_settings(engine, options);
  }
}

ModelConfig load_yaml(const fs::path& file, int64_t max_model_len) {
  const Node root = read_yaml(file);
  MapReader top(root, file.string(), "");
  MapReader model = section(top, "model");
  const fs::path base = file.parent_path();
  const auto weights = read_path(top, "weights", base);
  const auto tokenizer = read_path(top, "tokenizer", base);
  EngineOptions options;
  apply_engine(top, options);
  top.refuse_unknown();
  if (max_model_len == 0) max_model_len = options.max_model_len;

  ModelConfig config;
  if (const auto directory = model.find("path") != nullptr ? read_path(model, "path", base) : std::nullopt) {
    model.refuse_unknown();
    config = load_directory(*directory, max_model_len);
  } else {
    if (model.find("path") != nullptr) model.refuse("path", "a Hugging Face directory");
    config = read_model(model, UnknownKeys::kRefuse, max_model_len);
  }
  if (weights) {
    config.weights = *weights;
    config.tokenizer = tokenizer_in(*weights);
  }
  if (tokenizer) config.tokenizer = *tokenizer;
  return config;
}

}  // namespace

ModelConfig load_model_config(const fs::path& path, int64_t max_model_len) {
  const fs::path found = find_model(path);
  return leads_to_directory(found) ? load_directory(found, max_model_len) : load_yaml(found, max_model_len);
}

void apply_engine_section(const fs::path& yaml_file, EngineOptions& options) {
  const Node root = read_yaml(yaml_file);
  MapReader top(root, yaml_file.string(), "");
  apply_engine(top, options);
}

}  // namespace lockstep
