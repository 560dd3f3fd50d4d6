#include "text/pre_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text {

void PieceList::append(std::string_view piece, int32_t added_id, bool at_start) {
  if (piece.empty() && added_id < 0) return;
  const size_t begin = text.size();
  text += piece;
  pieces.push_back({begin, text.size(), added_id, at_start});
}

namespace {

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behavior read_behavior(const Component& component) {
  const std::string name = component.string("behavior");
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  fail("{}: behavior '{}' is not supported; supported are: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous",
       component.where(), name);
}

// Joins the stretches as `behavior` says; a stretch that is left with is_match set is to be removed.
void apply_behavior(Behavior behavior, std::vector<Match>& matches) {
  if (behavior == Behavior::kRemoved) return;
  // Folds from left to right; joins a stretch to the one before it where `joins` says so.
  const auto fold = [](std::vector<Match>& in, auto joins) {
    bool previous = false;
    size_t kept = 0;
    for (const Match m : in) {
      if (kept > 0 && joins(m.is_match, previous)) {
        in[kept - 1].begin = std::min(in[kept - 1].begin, m.begin);
        in[kept - 1].end = std::max(in[kept - 1].end, m.end);
      } else {
        in[kept++] = {m.begin, m.end, false};
      }
      previous = m.is_match;
    }
    in.resize(kept);
  };
  const auto match_after_other = [](bool is_match, bool previous) { return is_match && !previous; };
  switch (behavior) {
    case Behavior::kIsolated: fold(matches, [](bool, bool) { return false; }); break;
    case Behavior::kContiguous: fold(matches, [](bool is_match, bool previous) { return is_match == previous; }); break;
    case Behavior::kMergedWithPrevious: fold(matches, match_after_other); break;
    case Behavior::kMergedWithNext:
      std::reverse(matches.begin(), matches.end());
      fold(matches, match_after_other);
      std::reverse(matches.begin(), matches.end());
      break;
    case Behavior::kRemoved: break;
  }
}

// Splits every piece that is not an added token.
void split_pieces(PieceList& list, const Pattern& pattern, Behavior behavior, bool invert) {
  std::vector<Piece> result;
  result.reserve(list.pieces.size());
  std::vector<Match> matches;
  for (const Piece& piece : list.pieces) {
    if (piece.added_id >= 0) {
      result.push_back(piece);
      continue;
    }
    matches.clear();
    pattern.find(list.view(piece), matches);
    if (invert) {
      for (Match& m : matches) m.is_match = !m.is_match;
    }
    apply_behavior(behavior, matches);
    for (const Match& m : matches) {
      if (m.begin == m.end || m.is_match) continue;
      result.push_back({piece.begin + m.begin, piece.begin + m.end, -1, piece.at_start && m.begin == 0});
    }
  }
  list.pieces = std::move(result);
}

// Rewrites every piece that is not an added token: rewrite(piece, its text, out) appends the new text to out.
template <typename F>
void rewrite_pieces(PieceList& list, F rewrite) {
  std::string text;
  text.reserve(list.text.size() + list.text.size() / 4);
  for (Piece& piece : list.pieces) {
    const size_t begin = text.size();
    if (piece.added_id >= 0) {
      text += list.view(piece);
    } else {
      rewrite(piece, list.view(piece), text);
    }
    piece.begin = begin;
    piece.end = text.size();
  }
  list.text = std::move(text);
}

class Split final : public PreTokenizer {
 public:
  Split(std::unique_ptr<Pattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(PieceList& list) const override { split_pieces(list, *pattern_, behavior_, invert_); }

 private:
  std::unique_ptr<Pattern> pattern_;
  Behavior behavior_;
  bool invert_;
};

// Single characters of a kind.
template <bool (*is_member)(char32_t)>
class CharacterPattern final : public Pattern {
 public:
  void find(std::string_view text, std::vector<Match>& out) const override {
    size_t covered = 0;
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      if (!is_member(next_code_point(text, i))) continue;
      if (covered < begin) out.push_back({covered, begin, false});
      out.push_back({begin, i, true});
      covered = i;
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
  }
};

// Blanks, between runs of word characters and runs of others: the complement of \w+|[^\w\s]+.
class BlanksBetweenWords final : public Pattern {
 public:
  void find(std::string_view text, std::vector<Match>& out) const override {
    const auto kind_of = [](char32_t c) { return is_word(c) ? 1 : is_white_space(c) ? 2 : 3; };
    int last_kind = 0;
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      const int kind = kind_of(next_code_point(text, i));
      if (kind == last_kind) {
        out.back().end = i;
      } else {
        out.push_back({begin, i, kind == 2});
      }
      last_kind = kind;
    }
  }
};

// Stretches of so many characters, and what is left.
class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(int64_t length) : length_(length) {}
  void apply(PieceList& list) const override { split_pieces(list, Chunks(length_), Behavior::kIsolated, false); }

 private:
  struct Chunks final : Pattern {
    explicit Chunks(int64_t length) : length_(length) {}
    void find(std::string_view text, std::vector<Match>& out) const override {
      for (size_t i = 0; i < text.size();) {
        const size_t begin = i;
        for (int64_t n = 0; n < length_ && i < text.size(); ++n) i += utf8_length(text[i]);
        out.push_back({begin, i, true});
      }
    }
    int64_t length_;
  };
  int64_t length_;
};

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex, const std::string& where) : add_prefix_space_(add_prefix_space) {
    // GPT-2's pattern (encoder.py).
    constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
    if (use_regex) pattern_ = make_regex(kGpt2, where);
  }
  void apply(PieceList& list) const override {
    if (add_prefix_space_) {
      rewrite_pieces(list, [](const Piece&, std::string_view text, std::string& out) {
        if (!text.starts_with(' ')) out += ' ';
        out += text;
      });
    }
    if (pattern_) split_pieces(list, *pattern_, Behavior::kIsolated, false);
    rewrite_pieces(list, [](const Piece&, std::string_view text, std::string& out) { append_byte_level(text, out); });
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<Pattern> pattern_;
};

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(MetaspaceOptions options)
      : options_(std::move(options)), mark_(make_literal(options_.replacement)) {}
  void apply(PieceList& list) const override {
    using Prepend = MetaspaceOptions::Prepend;
    rewrite_pieces(list, [&](const Piece& piece, std::string_view text, std::string& out) {
      const bool wanted = options_.prepend == Prepend::kAlways || (options_.prepend == Prepend::kFirst && piece.at_start);
      if (wanted && !text.starts_with(' ') && !text.starts_with(options_.replacement)) out += options_.replacement;
      for (const char c : text) {
        if (c == ' ') {
          out += options_.replacement;
        } else {
          out += c;
        }
      }
    });
    if (options_.split) split_pieces(list, *mark_, Behavior::kMergedWithNext, false);
  }

 private:
  MetaspaceOptions options_;
  std::unique_ptr<Pattern> mark_;
};

class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> parts) : parts_(std::move(parts)) {}
  void apply(PieceList& list) const override {
    for (const auto& part : parts_) part->apply(list);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

}  // namespace

MetaspaceOptions MetaspaceOptions::read(const Component& component) {
  component.allow_only({"replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  MetaspaceOptions o;
  o.replacement = component.string("replacement");
  check(count_code_points(o.replacement) == 1, "{}: replacement is '{}', expected one character", component.where(),
        o.replacement);
  const std::string scheme = component.has("prepend_scheme") ? component.string("prepend_scheme") : "always";
  check(scheme == "always" || scheme == "first" || scheme == "never",
        "{}: prepend_scheme '{}' is not supported; supported are: always, first, never", component.where(), scheme);
  o.prepend = scheme == "always" ? Prepend::kAlways : scheme == "first" ? Prepend::kFirst : Prepend::kNever;
  check(component.boolean("add_prefix_space", true) || o.prepend == Prepend::kNever,
        "{}: add_prefix_space is false but prepend_scheme is '{}'", component.where(), scheme);
  o.split = component.boolean("split", true);
  return o;
}

std::unique_ptr<PreTokenizer> PreTokenizer::create(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    component.allow_only({"pretokenizers"});
    std::vector<std::unique_ptr<PreTokenizer>> parts;
    for (const Component& part : component.children("pretokenizers")) parts.push_back(create(part));
    return std::make_unique<PreTokenizerSequence>(std::move(parts));
  }
  if (type == "ByteLevel") {
    component.allow_only({"add_prefix_space", "trim_offsets", "use_regex"});  // we have no offsets to trim
    return std::make_unique<ByteLevelPreTokenizer>(component.boolean("add_prefix_space"), component.boolean("use_regex", true),
                                                   component.where());
  }
  if (type == "Split") {
    component.allow_only({"pattern", "behavior", "invert"});
    auto [is_regex, text] = component.pattern();
    return std::make_unique<Split>(is_regex ? make_regex(text, component.where()) : make_literal(text), read_behavior(component),
                                   component.boolean("invert"));
  }
  if (type == "Digits") {
    component.allow_only({"individual_digits"});
    return std::make_unique<Split>(std::make_unique<CharacterPattern<is_numeric>>(),
                                   component.boolean("individual_digits") ? Behavior::kIsolated : Behavior::kContiguous, false);
  }
  const auto split_at = [](std::unique_ptr<Pattern> pattern, Behavior behavior) {
    return std::make_unique<Split>(std::move(pattern), behavior, false);
  };
  if (type == "Punctuation") {
    component.allow_only({"behavior"});
    return split_at(std::make_unique<CharacterPattern<is_punctuation>>(),
                    component.has("behavior") ? read_behavior(component) : Behavior::kIsolated);
  }
  if (type == "WhitespaceSplit") {
    component.allow_only({});
    return split_at(std::make_unique<CharacterPattern<is_white_space>>(), Behavior::kRemoved);
  }
  if (type == "Whitespace") {
    component.allow_only({});
    return split_at(std::make_unique<BlanksBetweenWords>(), Behavior::kRemoved);
  }
  if (type == "BertPreTokenizer") {
    component.allow_only({});
    std::vector<std::unique_ptr<PreTokenizer>> parts;
    parts.push_back(split_at(std::make_unique<CharacterPattern<is_white_space>>(), Behavior::kRemoved));
    parts.push_back(split_at(std::make_unique<CharacterPattern<is_punctuation>>(), Behavior::kIsolated));
    return std::make_unique<PreTokenizerSequence>(std::move(parts));
  }
  if (type == "CharDelimiterSplit") {
    component.allow_only({"delimiter"});
    std::string delimiter = component.string("delimiter");
    check(count_code_points(delimiter) == 1, "{}: delimiter is '{}', expected one character", component.where(), delimiter);
    return split_at(make_literal(std::move(delimiter)), Behavior::kRemoved);
  }
  if (type == "FixedLength") {
    component.allow_only({"length"});
    return std::make_unique<FixedLength>(component.has("length") ? component.integer("length", 1, int64_t{1} << 30) : 5);
  }
  if (type == "Metaspace") return std::make_unique<MetaspacePreTokenizer>(MetaspaceOptions::read(component));
  component.refuse_type(
      "Sequence, ByteLevel, Split, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, "
      "CharDelimiterSplit, FixedLength");
}

}  // namespace lockstep::text
