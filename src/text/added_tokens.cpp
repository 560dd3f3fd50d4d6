#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

constexpr size_t kMaxContentBytes = 4096;  // bounds the cost of a search

// The start of the last character of text[0, end), end > 0.
size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

char32_t code_point_at(std::string_view text, size_t i) { return next_code_point(text, i); }

}  // namespace

void StringMatcher::add(std::string_view pattern, int32_t value) {
  check(!pattern.empty(), "the token is empty after normalization");
  uint32_t node = 0;
  for (const char c : pattern) {
    const auto [it, is_new] =
        nodes_[node].children.try_emplace(static_cast<unsigned char>(c), static_cast<uint32_t>(nodes_.size()));
    node = it->second;
    if (is_new) nodes_.emplace_back();
  }
  check(nodes_[node].value < 0, "'{}' is already the token with id {}", pattern, nodes_[node].value);
  nodes_[node].value = value;
}

std::optional<StringMatcher::Hit> StringMatcher::find(std::string_view text, size_t from) const {
  if (empty()) return std::nullopt;
  for (size_t begin = from; begin < text.size(); ++begin) {
    std::optional<Hit> longest;
    const Node* node = &nodes_[0];
    for (size_t i = begin; i < text.size(); ++i) {
      const auto it = node->children.find(static_cast<unsigned char>(text[i]));
      if (it == node->children.end()) break;
      node = &nodes_[it->second];
      if (node->value >= 0) longest = Hit{begin, i + 1, node->value};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const std::vector<Component>& list, const BpeModel& model, const Normalizer* normalizer) {
  for (const Component& c : list) {
    c.allow_only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken t{static_cast<int32_t>(c.integer("id", 0, kMaxTokenId - 1)),
                 c.string("content"),
                 "",
                 c.boolean("single_word"),
                 c.boolean("lstrip"),
                 c.boolean("rstrip"),
                 c.boolean("normalized"),
                 c.boolean("special")};
    if (t.content.empty()) continue;  // as `tokenizers` does
    check(t.content.size() <= kMaxContentBytes, "{}: content has {} bytes, at most {} are supported", c.where(), t.content.size(),
          kMaxContentBytes);
    const std::string* taken = model.id_to_token(t.id);
    check(taken == nullptr || *taken == t.content, "{}: id {} of '{}' is the id of '{}' in model.vocab", c.where(), t.id,
          t.content, taken == nullptr ? "" : *taken);
    const auto in_vocab = model.token_to_id(t.content);
    check(!in_vocab || *in_vocab == t.id, "{}: '{}' has id {} here and id {} in model.vocab", c.where(), t.content, t.id,
          in_vocab.value_or(-1));
    check(!tokens_.contains(t.id), "{}: id {} of '{}' is already taken by another added token", c.where(), t.id, t.content);
    check(find(t.content) == nullptr, "{}: '{}' is there already, with another id", c.where(), t.content);
    t.pattern = t.normalized && normalizer != nullptr ? normalizer->normalize(t.content) : t.content;
    try {
      (t.normalized ? normalized_ : raw_).add(t.pattern, t.id);
    } catch (const Error& e) {
      fail("{}: content '{}': {}", c.where(), t.content, e.what());
    }
    by_content_.emplace(t.content, t.id);
    tokens_.emplace(t.id, std::move(t));
  }
}

std::vector<AddedTokens::Stretch> AddedTokens::cut(std::string_view text, const StringMatcher& matcher) const {
  std::vector<Stretch> out;
  size_t covered = 0;
  for (auto hit = matcher.find(text, 0); hit; hit = matcher.find(text, hit->end)) {
    const AddedToken& token = tokens_.at(hit->value);
    size_t begin = hit->begin, end = hit->end;
    if (token.single_word) {
      const bool word_before = begin > 0 && is_word(code_point_at(text, previous_character(text, begin)));
      const bool word_behind = end < text.size() && is_word(code_point_at(text, end));
      if (word_before || word_behind) continue;
    }
    if (token.lstrip) {
      while (begin > covered && is_white_space(code_point_at(text, previous_character(text, begin)))) {
        begin = previous_character(text, begin);
      }
    }
    if (token.rstrip) {
      while (end < text.size() && is_white_space(code_point_at(text, end))) end += utf8_length(text[end]);
    }
    if (covered < begin) out.push_back({covered, begin, -1});
    out.push_back({begin, end, token.id});
    covered = end;
  }
  if (covered < text.size()) out.push_back({covered, text.size(), -1});
  return out;
}

PieceList AddedTokens::extract(std::string_view text, const Normalizer* normalizer) const {
  PieceList list;
  list.text.reserve(text.size());
  for (const Stretch& s : cut(text, raw_)) {
    const std::string_view stretch = text.substr(s.begin, s.end - s.begin);
    if (s.id >= 0) {
      list.append(stretch, s.id, s.begin == 0);
      continue;
    }
    std::string normal;
    std::string_view view = stretch;
    if (normalizer != nullptr) view = normal = normalizer->normalize(std::string(stretch));
    for (const Stretch& n : cut(view, normalized_))
      list.append(view.substr(n.begin, n.end - n.begin), n.id, s.begin == 0 && n.begin == 0);
  }
  return list;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto it = tokens_.find(id);
  return it == tokens_.end() ? nullptr : &it->second;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : find(it->second);
}

bool AddedTokens::is_special(std::string_view content) const {
  const AddedToken* token = find(content);
  return token != nullptr && token->special;
}

int64_t AddedTokens::vocab_size() const { return tokens_.empty() ? 0 : int64_t{tokens_.rbegin()->first} + 1; }

}  // namespace lockstep::text
