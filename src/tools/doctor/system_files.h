// SystemFiles: what the kernel tells in /proc, /sys and /dev. Never throws: what cannot be read is absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lockstep::doctor {

class SystemFiles {
 public:
  // root: "/" but for tests, which lay out proc/, sys/ and dev/ themselves.
  explicit SystemFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}

  std::filesystem::path path(const std::string& name) const { return root_ / name; }  // name: without a leading '/'
  bool exists(const std::string& name) const;
  // The file's first 64 KiB.
  std::optional<std::string> text(const std::string& name) const;
  std::string line(const std::string& name) const;  // the first, without blanks at its ends; empty where there is none
  std::optional<int64_t> integer(const std::string& name) const;
  // Names in a directory, sorted.
  std::vector<std::string> list(const std::string& name) const;
  // "Max open files" of proc/self/limits, soft; bytes or a count, kUnlimited where there is no limit.
  int64_t limit(const std::string& label) const;
  // What follows `key` and a colon in a file of such lines: "model name" of proc/cpuinfo.
  std::string field(const std::string& name, const std::string& key) const;

 private:
  std::filesystem::path root_;
};

// "0-2,5" as 0, 1, 2, 5; what is not understood is left out.
std::vector<int> parse_list(const std::string& text);

}  // namespace lockstep::doctor
