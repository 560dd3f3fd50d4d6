// Added tokens: strings that become one token each wherever they stand in a text. Component `added_tokens` of tokenizer.json.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe_model.h"
#include "text/component.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace lockstep::text {

struct AddedToken {
  int32_t id;
  std::string content;
  std::string pattern;  // what is looked for, and what decoding sees: content, normalized where `normalized` says so
  bool single_word;     // only where no word character is beside it
  bool lstrip;          // takes the blanks on its left along
  bool rstrip;
  bool normalized;  // looked for in the normalized text
  bool special;     // left out by decode(skip_special_tokens)
};

// Finds the leftmost, then longest, of a set of strings. Cost of a search: length of the text × longest string.
class StringMatcher {
 public:
  void add(std::string_view pattern, int32_t value);  // Throws Error for a duplicate or empty pattern.
  bool empty() const { return nodes_.size() == 1; }
  struct Hit {
    size_t begin;
    size_t end;
    int32_t value;
  };
  std::optional<Hit> find(std::string_view text, size_t from) const;

 private:
  struct Node {
    std::map<unsigned char, uint32_t> children;
    int32_t value = -1;
  };
  std::vector<Node> nodes_{1};
};

class AddedTokens {
 public:
  // list: the array. The ids are the file's; Error when one is taken, out of range, or not the one that vocab gives the token.
  AddedTokens(const std::vector<Component>& list, const BpeModel& model, const Normalizer* normalizer);

  // The text cut at added tokens, the stretches between them normalized. text: valid UTF-8. Tokens that are not `normalized` are
  // looked for first, in the text as it is; then the others, in what remains, normalized.
  PieceList extract(std::string_view text, const Normalizer* normalizer) const;

  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  bool is_special(std::string_view content) const;
  int64_t vocab_size() const;  // largest id + 1; 0: no added tokens

 private:
  struct Stretch {
    size_t begin;
    size_t end;
    int32_t id;  // -1: ordinary text
  };
  std::vector<Stretch> cut(std::string_view text, const StringMatcher& matcher) const;

  std::map<int32_t, AddedToken> tokens_;
  StringMap<int32_t> by_content_;
  StringMatcher raw_;
  StringMatcher normalized_;
};

}  // namespace lockstep::text
