#include "grammar/vocabulary.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"

namespace lockstep::grammar {

Vocabulary::Texts Vocabulary::read(const Tokenizer& tokenizer, int64_t size, const std::vector<bool>& no_text, bool is_first) {
  Texts texts;
  std::vector<std::pair<std::string, int32_t>> all;
  for (int64_t id = 0; id < size; ++id) {
    const auto token = static_cast<int32_t>(id);
    if (!no_text[static_cast<size_t>(id)]) {
      if (std::string bytes = tokenizer.token_bytes(token, is_first); !bytes.empty() && bytes.size() <= TokenTrie::kMaxText) {
        texts.bytes += bytes;
        all.emplace_back(std::move(bytes), token);
      }
    }
    texts.ends.push_back(static_cast<uint32_t>(texts.bytes.size()));
  }
  texts.trie = TokenTrie(std::move(all));
  return texts;
}

Vocabulary::Vocabulary(const Tokenizer& tokenizer, int64_t size, std::span<const int32_t> no_text) : size_(size) {
  std::vector<bool> is_no_text(static_cast<size_t>(size), false);
  for (const int32_t token : no_text) {
    if (token >= 0 && token < size) is_no_text[static_cast<size_t>(token)] = true;
  }
  rest_ = read(tokenizer, size, is_no_text, /*is_first=*/false);
  first_ = read(tokenizer, size, is_no_text, /*is_first=*/true);
  first_differs_ = first_.bytes != rest_.bytes || first_.ends != rest_.ends;
  for (uint32_t i = 1; i < rest_.trie.num_nodes(); i = rest_.trie.node(i).end) {
    if (!rest_.trie.tokens(i).empty()) alphabet_.set(rest_.trie.node(i).byte);
  }
  if (!first_differs_) first_ = Texts();
  check(alphabet_.any(), "output in a given form needs tokens for single bytes, and the tokenizer has none");
}

std::string_view Vocabulary::text(int32_t token, bool is_first) const {
  const Texts& texts = is_first && first_differs_ ? first_ : rest_;
  const auto i = static_cast<size_t>(token);
  if (token < 0 || i >= texts.ends.size()) return {};
  const uint32_t begin = i == 0 ? 0 : texts.ends[i - 1];
  return std::string_view(texts.bytes).substr(begin, texts.ends[i] - begin);
}

}  // namespace lockstep::grammar
