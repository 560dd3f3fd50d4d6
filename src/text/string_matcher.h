// StringMatcher: finds the leftmost, then longest, of a set of strings in a text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace lockstep::text {

// A trie. Cost of a search: length of the text × length of the longest string that the text follows for a while.
class StringMatcher {
 public:
  StringMatcher() { first_.fill(kNone); }

  void add(std::string_view pattern, int32_t value);  // value >= 0. Throws Error for a duplicate or empty pattern.
  struct Hit {
    size_t begin;
    size_t end;
    int32_t value;
  };
  std::optional<Hit> find(std::string_view text, size_t from) const;

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Node {
    uint32_t child = kNone;    // first of the list of children
    uint32_t sibling = kNone;  // next in that list
    int32_t value = -1;        // of the string that ends here
    unsigned char byte = 0;
  };
  uint32_t child_of(uint32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;
  std::array<uint32_t, 256> first_;  // nodes of the first bytes
};

}  // namespace lockstep::text
