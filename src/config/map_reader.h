// MapReader: typed, checked access to one map of a document. It remembers which keys were asked for, so that what nobody asked
// for can be refused. All errors read "FILE:LINE: key 'PATH' is VALUE; allowed: …".
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"

namespace lockstep {

class MapReader {
 public:
  // prefix: the dotted path of this map within the file, empty for the top. Throws Error unless `node` is a map. Keeps a
  // reference.
  MapReader(const Node& node, std::string file, std::string prefix);

  // The value, or nullptr where the key is absent; null where it says null.
  const Node* find(std::string_view key);
  // The same, but nullptr for null, too: in configurations null means "the default".
  const Node* find_value(std::string_view key);

  // Without a value (absent or null): nullopt, or the default given. min and max are inclusive.
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max);
  int64_t required_integer(std::string_view key, int64_t min, int64_t max);
  // A finite number above `above` and at most `max`.
  std::optional<double> number(std::string_view key, double above, double max);
  bool boolean(std::string_view key, bool otherwise);
  std::optional<std::string> text(std::string_view key);
  // An integer or a list of integers, each within [0, end).
  std::optional<std::vector<int32_t>> token_ids(std::string_view key, int64_t end);

  // Throws: the value of `key` is not allowed (or the key is missing); `allowed` says what is.
  [[noreturn]] void refuse(std::string_view key, std::string_view allowed) const;
  // Throws unless every key was asked for or is in `also_known`.
  void refuse_unknown(const std::vector<std::string_view>& also_known = {}) const;

  const Node& node() const { return *node_; }
  const std::string& file() const { return file_; }
  std::string path_of(std::string_view key) const;

 private:
  const Node* node_;
  std::string file_;
  std::string prefix_;
  std::set<std::string, std::less<>> asked_;
};

}  // namespace lockstep
