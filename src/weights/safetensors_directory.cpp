// A directory of safetensors files as one TensorSource.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "weights/safetensors.h"
#include "weights/strict_json.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";
constexpr int64_t kMaxIndexBytes = 100'000'000;

class SafetensorsDirectory final : public TensorSource {
 public:
  explicit SafetensorsDirectory(const fs::path& directory) : directory_(directory) {
    check(leads_to_directory(directory), "{}: is not a directory; it should hold the checkpoint's *.safetensors",
          directory.string());
    if (is_listed(directory / kIndexName)) {
      if (is_listed(directory / kSingleName)) {
        spdlog::warn("{} has both {} and {}; the index is used", directory.string(), kIndexName, kSingleName);
      }
      open_indexed();
    } else if (is_listed(directory / kSingleName)) {
      open_shard(kSingleName);
    } else {
      open_all();
    }
  }

  const std::vector<SourceTensor>& tensors() const override { return tensors_; }

  void read(size_t tensor, int64_t first, int64_t count, void* to) const override {
    const SourceTensor& t = tensors_.at(tensor);
    check(t.dtype.has_value(), "tensor '{}' has dtype {}, which cannot be loaded", printable(t.name), t.dtype_name);
    const int64_t size = static_cast<int64_t>(size_of(*t.dtype));
    const int64_t elements = t.bytes / size;
    check(first >= 0 && count >= 0 && first <= elements && count <= elements - first,
          "elements {} to {} were asked of tensor '{}', which has {}", first, first + count, printable(t.name), elements);
    const Place& place = places_[tensor];
    shards_[place.shard].file.read(place.begin + first * size, count * size, to);
  }

  int64_t header_bytes() const override { return header_bytes_; }
  std::string where() const override { return directory_.string(); }

  std::vector<std::string> notes() const override {
    std::vector<std::string> lines;
    for (const SafetensorsFile& shard : shards_) {
      for (const auto& [key, value] : shard.header.metadata) {
        lines.push_back(fmt::format("{}: {} = {}", shard.file.path().filename().string(), printable(key), printable(value)));
      }
    }
    return lines;
  }

 private:
  struct Place {
    size_t shard;
    int64_t begin;  // bytes from the start of the file
  };

  void open_shard(const std::string& name) {
    SafetensorsFile& shard = shards_.emplace_back(directory_ / name);
    header_bytes_ += shard.data_begin;
    for (SafetensorsHeader::Entry& entry : shard.header.entries) {
      entry.tensor.file = name;
      const auto [known, fresh] = by_name_.emplace(entry.tensor.name, tensors_.size());
      check(fresh, "tensor '{}' occurs twice in {}: in {} and in {}", printable(entry.tensor.name), directory_.string(),
            fresh ? "" : tensors_[known->second].file, name);
      places_.push_back({shards_.size() - 1, shard.data_begin + entry.begin});
      tensors_.push_back(std::move(entry.tensor));
    }
    shard.header.entries.clear();
  }

  void open_all() {
    std::vector<std::string> names;
    std::error_code error;
    const fs::directory_iterator entries(directory_, error);
    check(!error, "{}: cannot be listed: {}", directory_.string(), error.message());
    for (const fs::directory_entry& entry : entries) {
      if (entry.path().extension() == ".safetensors") names.push_back(entry.path().filename().string());
    }
    check(!names.empty(), "{}: holds no {}, no {} and no other *.safetensors", directory_.string(), kIndexName, kSingleName);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) open_shard(name);
  }

  void open_indexed() {
    const std::string where = (directory_ / kIndexName).string();
    const std::string text = ReadFile(where).read_all(kMaxIndexBytes);
    header_bytes_ += static_cast<int64_t>(text.size());
    const std::map<std::string, std::string> file_of = parse_safetensors_index(text, where);
    std::set<std::string> files;
    for (const auto& [tensor, file] : file_of) files.insert(file);
    check(!files.empty(), "{}: weight_map is empty", where);
    for (const std::string& name : files) open_shard(name);
    for (const SourceTensor& t : tensors_) {
      const auto entry = file_of.find(t.name);
      check(entry != file_of.end(), "{}: does not name tensor '{}', which {} holds", where, printable(t.name), t.file);
      check(entry->second == t.file, "{}: says that tensor '{}' is in {}, but it is in {}", where, printable(t.name),
            printable(entry->second), t.file);
    }
    for (const auto& [tensor, file] : file_of) {
      check(by_name_.count(tensor) == 1, "{}: says that tensor '{}' is in {}, but it is not there", where, printable(tensor),
            printable(file));
    }
  }

  fs::path directory_;
  std::vector<SafetensorsFile> shards_;
  std::vector<SourceTensor> tensors_;
  std::vector<Place> places_;  // of each tensor
  std::unordered_map<std::string, size_t> by_name_;
  int64_t header_bytes_ = 0;
};

}  // namespace

std::map<std::string, std::string> parse_safetensors_index(std::string_view json, const std::string& where) {
  const nlohmann::json index = parse_strict_json(json, where);
  check(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(), "{}: has no object 'weight_map'",
        where);
  std::map<std::string, std::string> file_of;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    check(file.is_string(), "{}: weight_map of '{}' is not a string", where, printable(tensor));
    const std::string name = file.get<std::string>();
    check(!name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
              name.find('\0') == std::string::npos,
          "{}: weight_map of '{}' is '{}', expected the plain name of a file in this directory", where, printable(tensor),
          printable(name));
    file_of.emplace(tensor, name);
  }
  return file_of;
}

std::unique_ptr<TensorSource> open_safetensors(const fs::path& directory) {
  return std::make_unique<SafetensorsDirectory>(directory);
}

}  // namespace lockstep
