// Vocabulary: what each token of a model adds to the text, in bytes, as the masks need it. Immutable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/token_trie.h"
#include "text/tokenizer.h"

namespace lockstep::grammar {

class Vocabulary {
 public:
  // size: token ids of the model, which may be more than the tokenizer's. no_text: tokens that are never text (ends of sequence),
  // beside the special ones. Throws Error where the text of a token depends on more than whether it is the first.
  Vocabulary(const Tokenizer& tokenizer, int64_t size, std::span<const int32_t> no_text);

  int64_t size() const { return size_; }
  // Empty: the token is no text.
  std::string_view text(int32_t token, bool is_first) const;
  // Of the tokens that go on with a text, or begin it.
  const TokenTrie& trie(bool is_first) const { return is_first && first_differs_ ? first_.trie : rest_.trie; }
  // The bytes that are tokens, so that whatever else is allowed, a text can be gone on with byte by byte.
  const Alphabet& alphabet() const { return alphabet_; }

 private:
  struct Texts {
    std::vector<uint32_t> ends;  // by token, in bytes
    std::string bytes;
    TokenTrie trie;
  };
  static Texts read(const Tokenizer& tokenizer, int64_t size, const std::vector<bool>& no_text, bool is_first);

  int64_t size_;
  Texts rest_;
  bool first_differs_ = false;
  Texts first_;
  Alphabet alphabet_;
};

}  // namespace lockstep::grammar
