#include "app/batch_identity.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "cache/block_hash.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kEdgeBytes = 1 << 20;  // of the beginning and the end of a file that are looked at

std::string read_edges(const fs::path& file) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(file, error));
  std::ifstream in(file, std::ios::binary);
  check(!error && in.good(), "{}: cannot be read", file.string());
  std::string edges = fmt::format("{} {} ", file.filename().string(), size);
  for (const int64_t start : {int64_t{0}, std::max<int64_t>(kEdgeBytes, size - kEdgeBytes)}) {
    const int64_t count = std::clamp<int64_t>(size - start, 0, kEdgeBytes);
    std::string part(static_cast<size_t>(count), '\0');
    in.seekg(start);
    in.read(part.data(), count);
    check(in.gcount() == count, "{}: cannot be read", file.string());
    edges += part;
  }
  return edges;
}

std::string digest(BlockHasher& hasher, const std::string& bytes) {
  std::string hex;
  for (const uint64_t word : hasher.root(bytes).words) hex += fmt::format("{:016x}", word);
  return hex;
}

std::vector<fs::path> weight_files(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".safetensors") files.push_back(it->path());
  }
  check(!error, "{}: cannot be read: {}", directory.string(), error.message());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

nlohmann::ordered_json batch_identity(const BatchOptions& options, const BatchInputSummary& input, const EngineOptions& engine,
                                      const ModelConfig& config) {
  BlockHasher hasher;
  std::string weights = "dummy " + std::to_string(engine.seed);
  if (engine.load_format != LoadFormat::kDummy) {
    std::string all;
    for (const fs::path& file : weight_files(config.weights)) all += digest(hasher, read_edges(file));
    weights = digest(hasher, all);
  }
  const fs::path text = engine.tokenizer.empty() ? config.tokenizer : fs::path(engine.tokenizer);
  const fs::path directory = leads_to_directory(text) ? text : text.parent_path();
  std::string tokenizer;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    if (!text.empty() && is_listed(directory / name)) tokenizer += read_edges(directory / name);
  }
  if (!options.chat_template.empty()) tokenizer += read_edges(options.chat_template);
  return {{"format", 1},
          {"input", input.sha256},
          {"shard", fmt::format("{}/{}", options.shard.index, options.shard.count)},
          {"ordered", options.ordered},
          {"seed", options.seed},
          {"model configuration", fmt::format("{:016x}", config.hash())},
          {"weights", weights},
          {"tokenizer", tokenizer.empty() ? "none" : digest(hasher, tokenizer)},
          {"dtype", engine.dtype},
          {"max-model-len", engine.max_model_len}};
}

}  // namespace lockstep
