// TokenTrie: the texts of a vocabulary as a tree of bytes, so that tokens which begin alike are looked at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::grammar {

class TokenTrie {
 public:
  struct Node {
    uint8_t byte = 0;
    uint16_t depth = 0;       // bytes from the root, which is node 0
    uint32_t end = 0;         // the first node behind this one and all below it
    uint32_t num_before = 0;  // tokens of earlier nodes
  };

  TokenTrie() = default;
  // texts and ids; texts that are empty or longer than kMaxText are left out.
  explicit TokenTrie(std::vector<std::pair<std::string, int32_t>> tokens);
  static constexpr size_t kMaxText = 4096;

  uint32_t num_nodes() const { return nodes_.empty() ? 0 : static_cast<uint32_t>(nodes_.size()) - 1; }
  // In the order of a walk that visits a node before those below it; node(num_nodes()) is a sentinel.
  const Node& node(uint32_t i) const { return nodes_[i]; }
  // Tokens whose text ends at the node.
  std::span<const int32_t> tokens(uint32_t i) const {
    return {tokens_.data() + nodes_[i].num_before, tokens_.data() + nodes_[i + 1].num_before};
  }
  uint16_t max_depth() const { return max_depth_; }

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
  uint16_t max_depth_ = 0;
};

}  // namespace lockstep::grammar
