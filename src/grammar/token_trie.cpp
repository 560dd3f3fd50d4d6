#include "grammar/token_trie.h"

#include <algorithm>

namespace lockstep::grammar {

TokenTrie::TokenTrie(std::vector<std::pair<std::string, int32_t>> tokens) {
  std::erase_if(tokens, [](const auto& token) { return token.first.empty() || token.first.size() > kMaxText; });
  std::sort(tokens.begin(), tokens.end());
  nodes_.emplace_back();
  std::vector<uint32_t> path = {0};
  const std::string* previous = nullptr;
  const auto close = [&](size_t depth) {
    for (; path.size() > depth + 1; path.pop_back()) nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  for (const auto& [bytes, id] : tokens) {
    size_t common = 0;
    if (previous != nullptr) {
      common = static_cast<size_t>(std::mismatch(bytes.begin(), bytes.end(), previous->begin(), previous->end()).first -
                                   bytes.begin());
    }
    close(common);
    for (size_t depth = common; depth < bytes.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back(
          {static_cast<uint8_t>(bytes[depth]), static_cast<uint16_t>(depth + 1), 0, static_cast<uint32_t>(tokens_.size())});
    }
    max_depth_ = std::max(max_depth_, static_cast<uint16_t>(bytes.size()));
    tokens_.push_back(id);
    previous = &bytes;
  }
  close(0);
  nodes_[0].end = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({0, 0, static_cast<uint32_t>(nodes_.size()) + 1, static_cast<uint32_t>(tokens_.size())});
}

}  // namespace lockstep::grammar
