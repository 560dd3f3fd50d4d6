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
#include "text/string_matcher.h"

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

class AddedTokens {
 public:
  // list: the array. Error when an id is taken, out of range, or not the one that `tokenizers` gives the token, which looks at
  // vocab only and numbers what it does not find there from its size on, whatever the file says.
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
  void read(const Component& component, const BpeModel& model, const Normalizer* normalizer);
  std::vector<Stretch> cut(std::string_view text, const StringMatcher& matcher) const;

  std::map<int32_t, AddedToken> tokens_;
  StringMap<int32_t> by_content_;
  StringMatcher raw_;
  StringMatcher normalized_;
};

}  // namespace lockstep::text
