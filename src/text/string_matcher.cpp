#include "text/string_matcher.h"

#include "base/error.h"

namespace lockstep::text {

uint32_t StringMatcher::child_of(uint32_t node, unsigned char byte) const {
  uint32_t child = nodes_[node].child;
  while (child != kNone && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

void StringMatcher::add(std::string_view pattern, int32_t value) {
  check(!pattern.empty(), "the token is empty after normalization");
  uint32_t node = kNone;
  for (const char c : pattern) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t child = node == kNone ? first_[byte] : child_of(node, byte);
    if (child == kNone) {
      child = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({.sibling = node == kNone ? kNone : nodes_[node].child, .byte = byte});
      (node == kNone ? first_[byte] : nodes_[node].child) = child;
    }
    node = child;
  }
  check(nodes_[node].value < 0, "'{}' is already the token with id {}", pattern, nodes_[node].value);
  nodes_[node].value = value;
}

std::optional<StringMatcher::Hit> StringMatcher::find(std::string_view text, size_t from) const {
  if (nodes_.empty()) return std::nullopt;
  for (size_t begin = from; begin < text.size(); ++begin) {
    uint32_t node = first_[static_cast<unsigned char>(text[begin])];
    std::optional<Hit> longest;
    for (size_t i = begin + 1; node != kNone; ++i) {
      if (nodes_[node].value >= 0) longest = Hit{begin, i, nodes_[node].value};
      if (i == text.size()) break;
      node = child_of(node, static_cast<unsigned char>(text[i]));
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace lockstep::text
