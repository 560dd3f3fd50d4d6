// Safetensors: 8 bytes header length (little endian), a JSON header, tensor data. https://github.com/huggingface/safetensors.
// The header is hostile input: whatever it says is checked before it is believed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weights/file.h"
#include "weights/tensor_source.h"

namespace lockstep {

inline constexpr int64_t kMaxSafetensorsHeader = 100'000'000;  // bytes, as the reference implementation has it

struct SafetensorsHeader {
  struct Entry {
    SourceTensor tensor;  // `file` is left empty
    int64_t begin = 0;    // in bytes from the start of the data
  };
  std::vector<Entry> entries;                                 // by position in the file
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__
};

// json: the header's text; data_bytes: what follows it in the file; where: begins each error. Throws Error unless each tensor has
// a known dtype, a shape whose size is its number of bytes, and the tensors cover the data without hole or overlap.
SafetensorsHeader parse_safetensors_header(std::string_view json, int64_t data_bytes, const std::string& where);

// The `weight_map` of a model.safetensors.index.json: the file of each tensor. Throws Error where it is not a map of tensors to
// plain names of files: one with a directory in it could lead anywhere.
std::map<std::string, std::string> parse_safetensors_index(std::string_view json, const std::string& where);

// One file.
struct SafetensorsFile {
  explicit SafetensorsFile(const std::filesystem::path& path);
  ReadFile file;
  int64_t data_begin = 0;  // bytes from the start of the file
  SafetensorsHeader header;
};

// A directory, whose files may be symlinks to anywhere (the Hugging Face cache is made of such): the shards that
// model.safetensors.index.json names, else model.safetensors, else every *.safetensors. Throws Error when there is none, when a
// tensor occurs twice, and when the index and the shards do not say the same.
std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& directory);

}  // namespace lockstep
