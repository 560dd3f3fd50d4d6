#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

constexpr size_t kMaxContentBytes = 512;            // bounds the cost of a search
constexpr size_t kMaxTotalBytes = size_t{4} << 20;  // and the memory; the largest real ones have some hundred kilobytes

char32_t code_point_at(std::string_view text, size_t i) { return next_code_point(text, i); }

}  // namespace

AddedTokens::AddedTokens(const std::vector<Component>& list, const BpeModel& model, const Normalizer* normalizer) {
  size_t total = 0;
  for (const Component& c : list) {
    read(c, model, normalizer);
    total += c.string("content").size();
    check(total <= kMaxTotalBytes, "{}: the added tokens have more than {} bytes together", c.where(), kMaxTotalBytes);
  }
  int64_t next_id = model.num_tokens();
  for (const auto& [id, token] : tokens_) {
    if (model.token_to_id(token.content)) continue;
    check(id == next_id,
          "{}: added token '{}' has id {}, but `tokenizers` would number it {}: it numbers added tokens that are not in "
          "model.vocab "
          "from the number of tokens there ({}) on; give them these ids, or put them into model.vocab",
          list.front().where(), token.content, id, next_id, model.num_tokens());
    ++next_id;
  }
}

void AddedTokens::read(const Component& c, const BpeModel& model, const Normalizer* normalizer) {
  c.allow_only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken t{static_cast<int32_t>(c.integer("id", 0, kMaxTokenId - 1)),
               c.string("content"),
               "",
               c.boolean("single_word"),
               c.boolean("lstrip"),
               c.boolean("rstrip"),
               c.boolean("normalized"),
               c.boolean("special")};
  if (t.content.empty()) return;  // as `tokenizers` does
  check(t.content.size() <= kMaxContentBytes, "{}: content has {} bytes, at most {} are supported", c.where(), t.content.size(),
        kMaxContentBytes);
  const std::string* taken = model.id_to_token(t.id);
  check(taken == nullptr || *taken == t.content, "{}: id {} of '{}' is the id of '{}' in model.vocab", c.where(), t.id, t.content,
        taken == nullptr ? "" : *taken);
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
