// A regular file that is read at given offsets, and nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace lockstep {

class ReadFile {
 public:
  // Follows symlinks (the Hugging Face cache is made of them). Throws Error unless the target is a regular file that can be read.
  explicit ReadFile(std::filesystem::path path);
  ReadFile(ReadFile&& other) noexcept;
  ReadFile& operator=(ReadFile&&) = delete;
  ReadFile(const ReadFile&) = delete;
  ~ReadFile();

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }  // bytes, when it was opened

  // Reads exactly `bytes` bytes at `offset`, with as few pread calls as the kernel allows. Safe from several threads. Throws
  // Error when the file ends before that (somebody has cut it since it was opened) or cannot be read.
  void read(int64_t offset, int64_t bytes, void* to) const;
  // The whole file as a string. Throws Error when it is larger than `limit` bytes.
  std::string read_all(int64_t limit) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

}  // namespace lockstep
