// TokenList: a tokenizer for tests, whose tokens are what they are.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/compiled_grammar.h"
#include "grammar/compiler.h"
#include "text/tokenizer.h"

namespace lockstep::test {

// tokens: by id; empty ones are special. first_drops_blank: a text does not begin with a blank, as with sentencepiece's.
class TokenList final : public Tokenizer {
 public:
  explicit TokenList(std::vector<std::string> tokens, bool first_drops_blank = false)
      : tokens_(std::move(tokens)), first_drops_blank_(first_drops_blank) {}

  std::vector<int32_t> encode(std::string_view, bool) const override { return {}; }
  std::unique_ptr<DecodeStream> decode_stream(bool) const override { return std::make_unique<Stream>(*this); }
  std::optional<int32_t> token_to_id(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> id_to_token(int32_t id) const override { return tokens_.at(static_cast<size_t>(id)); }
  bool is_special(int32_t id) const override { return tokens_.at(static_cast<size_t>(id)).empty(); }
  std::string token_bytes(int32_t id, bool is_first) const override {
    if (id < 0 || id >= vocab_size()) return {};
    const std::string& token = tokens_[static_cast<size_t>(id)];
    return first_drops_blank_ && is_first && token.starts_with(' ') ? token.substr(1) : token;
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }

 private:
  class Stream final : public DecodeStream {
   public:
    explicit Stream(const TokenList& owner) : owner_(owner) {}
    void push(int32_t id, std::string& out) override {
      out += owner_.token_bytes(id, is_first_);
      is_first_ = is_first_ && owner_.is_special(id);
    }
    void finish(std::string&) override {}

   private:
    const TokenList& owner_;
    bool is_first_ = true;
  };
  std::vector<std::string> tokens_;
  bool first_drops_blank_;
};

// Id 0 ends a sequence, then all bytes, then `more` pieces of JSON and of text, some of which end inside a character.
inline std::vector<std::string> json_tokens(size_t more, uint64_t seed) {
  std::vector<std::string> tokens = {""};
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  const std::vector<std::string> pieces = {"{",    "}",      "[",   "]",  "\"",   ":",        ", ",   "\\",    "\n", " ",
                                           "  ",   "true",   "fal", "se", "null", "name",     "a",    "b",     "1",  "23",
                                           "0.5",  "e+",     "-",   "é",  "世",   "\xE4\xB8", "\x96", "\\u00", "d8", "\\\"",
                                           "\": ", "\", \"", "\"}", "]}", "x",    "_id",      "kind", "value"};
  std::mt19937_64 random(seed);
  std::set<std::string> known(tokens.begin(), tokens.end());
  while (known.size() < 257 + more) {
    std::string token;
    for (size_t n = 1 + random() % 4; n > 0; --n) token += pieces[random() % pieces.size()];
    if (known.insert(token).second) tokens.push_back(token);
  }
  return tokens;
}

// A text that the matcher allows, token by token at random; whether it came to its end within max_tokens.
inline bool random_walk(grammar::GrammarMatcher& matcher, const Tokenizer& tokenizer, int32_t max_tokens, std::mt19937_64& random,
                        std::string& text) {
  text.clear();
  for (int32_t i = 0; i < max_tokens; ++i) {
    if (matcher.is_complete()) return true;
    const auto mask = matcher.mask();
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
      if (mask->allows(token)) allowed.push_back(token);
    }
    if (allowed.empty()) return false;
    const int32_t token = allowed[random() % allowed.size()];
    if (token == 0) return true;
    text += tokenizer.token_bytes(token, i == 0);
    matcher.accept(token);
  }
  return matcher.is_complete();
}

}  // namespace lockstep::test
