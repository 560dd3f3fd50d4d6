#include "text/decoder.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

// A stage that must see a token whole. Behind a step that fuses all tokens into one, that means: at the end.
class WholeTokenStage : public DecodeStage {
 public:
  explicit WholeTokenStage(DecodeStage& next) : next_(next) {}
  void push(std::string_view part, bool ends_token) final {
    if (ends_token && held_.empty()) return token(part);
    held_ += part;
    if (!ends_token) return;
    token(held_);
    held_.clear();
  }
  void finish() final {
    end();
    next_.finish();
  }

 protected:
  virtual void token(std::string_view token) = 0;
  virtual void end() {}
  DecodeStage& next_;

 private:
  std::string held_;
};

class ByteLevelStage final : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;

 private:
  void token(std::string_view token) override {
    text_.clear();
    repairer_.push(byte_level_to_bytes(token), text_);
    next_.push(text_, false);
  }
  void end() override {
    text_.clear();
    repairer_.finish(text_);
    next_.push(text_, true);
  }
  Utf8Repairer repairer_;
  std::string text_;
};

// The byte that a token "<0xHH>" stands for.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int value = 0;
  for (size_t i = 3; i < 5; ++i) {
    const char c = token[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    // u8::from_str_radix takes a leading plus sign: "<0x+A>" is a line feed.
    if (digit < 0 && !(i == 3 && c == '+')) return std::nullopt;
    value = value * 16 + std::max(digit, 0);
  }
  return static_cast<char>(value);
}

// Runs of byte tokens become text if the whole run is valid UTF-8, else one U+FFFD per byte. So a run is held back until it ends
// or turns out to be invalid.
class ByteFallbackStage final : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;

 private:
  void token(std::string_view token) override {
    const auto byte = byte_of(token);
    if (!byte) {
      end();
      next_.push(token, true);
      return;
    }
    run_.push_back(*byte);
    if (invalid_) {
      next_.push(kReplacementCharacter, true);
      return;
    }
    repaired_.clear();
    repairer_.push(std::string_view(&*byte, 1), repaired_);
    if (repaired_.find(kReplacementCharacter) == std::string::npos || run_.ends_with(kReplacementCharacter)) return;
    invalid_ = true;
    for (size_t i = 0; i < run_.size(); ++i) next_.push(kReplacementCharacter, true);
  }
  void end() override {
    if (run_.empty()) return;
    repaired_.clear();
    repairer_.finish(repaired_);
    if (!invalid_ && repaired_.empty()) {
      next_.push(run_, true);
    } else if (!invalid_) {
      for (size_t i = 0; i < run_.size(); ++i) next_.push(kReplacementCharacter, true);
    }
    run_.clear();
    invalid_ = false;
  }
  std::string run_;
  std::string repaired_;
  Utf8Repairer repairer_;
  bool invalid_ = false;
};

class FuseStage final : public DecodeStage {
 public:
  explicit FuseStage(DecodeStage& next) : next_(next) {}
  void push(std::string_view part, bool /*ends_token*/) override { next_.push(part, false); }
  void finish() override {
    next_.push("", true);
    next_.finish();
  }

 private:
  DecodeStage& next_;
};

std::string replace_all(std::string_view text, const Pattern& pattern, std::string_view content) {
  std::vector<Match> matches;
  pattern.find(text, matches);
  std::string out;
  for (const Match& m : matches) out += m.is_match ? content : text.substr(m.begin, m.end - m.begin);
  return out;
}

class ReplaceStage final : public WholeTokenStage {
 public:
  ReplaceStage(DecodeStage& next, const Pattern& pattern, const std::string& content)
      : WholeTokenStage(next), pattern_(pattern), content_(content) {}

 private:
  void token(std::string_view token) override { next_.push(replace_all(token, pattern_, content_), true); }
  const Pattern& pattern_;
  const std::string& content_;
};

// Replace of a single character does not need to see the token whole.
class ReplaceCharacterStage final : public DecodeStage {
 public:
  ReplaceCharacterStage(DecodeStage& next, const Pattern& pattern, const std::string& content)
      : next_(next), pattern_(pattern), content_(content) {}
  void push(std::string_view part, bool ends_token) override { next_.push(replace_all(part, pattern_, content_), ends_token); }
  void finish() override { next_.finish(); }

 private:
  DecodeStage& next_;
  const Pattern& pattern_;
  const std::string& content_;
};

struct StripOptions {
  std::string content;  // one character
  int64_t start;        // at most so many of it are taken off the token's start
  int64_t stop;         // and its end
};

class StripStage final : public DecodeStage {
 public:
  StripStage(DecodeStage& next, const StripOptions& options) : next_(next), options_(options) {}
  void push(std::string_view part, bool ends_token) override {
    std::string out;
    const std::string& c = options_.content;
    while (!in_body_ && !part.empty()) {
      if (stripped_ < options_.start && part.starts_with(c)) {
        part.remove_prefix(c.size());
        ++stripped_;
      } else {
        in_body_ = true;
      }
    }
    while (!part.empty()) {
      if (part.starts_with(c)) {
        if (held_ == options_.stop) {
          out += c;
        } else {
          ++held_;
        }
        part.remove_prefix(c.size());
      } else {
        while (held_ > 0) out += c, --held_;
        const size_t n = utf8_length(part[0]);
        out += part.substr(0, n);
        part.remove_prefix(n);
      }
    }
    if (ends_token) {
      held_ = stripped_ = 0;
      in_body_ = false;
    }
    next_.push(out, ends_token);
  }
  void finish() override { next_.finish(); }

 private:
  DecodeStage& next_;
  const StripOptions& options_;
  int64_t stripped_ = 0;
  int64_t held_ = 0;  // occurrences at the end so far, which may have to go
  bool in_body_ = false;
};

class MetaspaceStage final : public DecodeStage {
 public:
  MetaspaceStage(DecodeStage& next, const MetaspaceOptions& options, const Pattern& mark)
      : next_(next), options_(options), mark_(mark) {}
  void push(std::string_view part, bool ends_token) override {
    const bool drop = is_first_ && options_.prepend != MetaspaceOptions::Prepend::kNever;
    if (ends_token) is_first_ = false;
    next_.push(replace_all(part, mark_, drop ? "" : " "), ends_token);
  }
  void finish() override { next_.finish(); }

 private:
  DecodeStage& next_;
  const MetaspaceOptions& options_;
  const Pattern& mark_;
  bool is_first_ = true;
};

std::string replace_literal(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// The mark of a word's end becomes a blank, but not in the last token, so one token is held back.
class WordEndStage final : public WholeTokenStage {
 public:
  WordEndStage(DecodeStage& next, const std::string& suffix) : WholeTokenStage(next), suffix_(suffix) {}

 private:
  void token(std::string_view token) override {
    if (last_) next_.push(replace_literal(*last_, suffix_, " "), true);
    last_ = token;
  }
  void end() override {
    if (last_) next_.push(replace_literal(*last_, suffix_, ""), true);
  }
  const std::string& suffix_;
  std::optional<std::string> last_;
};

struct WordPieceOptions {
  std::string prefix;  // of a token that continues a word
  bool cleanup;        // English: no blank before punctuation and contractions
};

class WordPieceStage final : public WholeTokenStage {
 public:
  WordPieceStage(DecodeStage& next, const WordPieceOptions& options) : WholeTokenStage(next), options_(options) {}

 private:
  void token(std::string_view token) override {
    std::string text(token);
    if (!is_first_) {
      if (token.starts_with(options_.prefix)) {
        text.erase(0, options_.prefix.size());
      } else {
        text.insert(0, " ");
      }
    }
    is_first_ = false;
    if (options_.cleanup) {
      constexpr std::pair<std::string_view, std::string_view> kRules[] = {
          {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
          {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
      for (const auto& [from, to] : kRules) text = replace_literal(std::move(text), from, to);
    }
    next_.push(text, true);
  }
  const WordPieceOptions& options_;
  bool is_first_ = true;
};

class JoinStage final : public DecodeStage {
 public:
  explicit JoinStage(DecodeStage& next) : next_(next) {}
  void push(std::string_view part, bool ends_token) override {
    if (at_token_start_ && !is_first_) next_.push(" ", false);
    is_first_ = false;
    at_token_start_ = ends_token;
    next_.push(part, ends_token);
  }
  void finish() override { next_.finish(); }

 private:
  DecodeStage& next_;
  bool is_first_ = true;
  bool at_token_start_ = true;
};

// What each kind of stage makes of a token alone.
template <typename Stage>
bool apply_alone(LoneToken& token);
template <>
bool apply_alone<ByteLevelStage>(LoneToken& token) {
  token.bytes = byte_level_to_bytes(token.bytes);
  return true;
}
template <>
bool apply_alone<ByteFallbackStage>(LoneToken& token) {
  if (const auto byte = byte_of(token.bytes)) token.bytes.assign(1, *byte);
  return true;
}
template <>
bool apply_alone<FuseStage>(LoneToken& token) {
  token.is_fused = true;
  return true;
}
template <>
bool apply_alone<JoinStage>(LoneToken& token) {
  if (!token.is_first) token.bytes.insert(0, " ");
  return true;
}

// A step whose stage needs nothing from the file.
template <typename Stage>
class PlainStep final : public DecodeStep {
 public:
  std::unique_ptr<DecodeStage> start(DecodeStage& next) const override { return std::make_unique<Stage>(next); }
  bool apply(LoneToken& token) const override { return apply_alone<Stage>(token); }
};

class ReplaceStep final : public DecodeStep {
 public:
  explicit ReplaceStep(const Component& component) : content_(component.string("content")) {
    component.allow_only({"pattern", "content"});
    auto [is_regex, text] = component.pattern();
    is_character_ = !is_regex && count_code_points(text) == 1;
    pattern_ = is_regex ? make_regex(text, component.where()) : make_literal(text);
  }
  std::unique_ptr<DecodeStage> start(DecodeStage& next) const override {
    if (is_character_) return std::make_unique<ReplaceCharacterStage>(next, *pattern_, content_);
    return std::make_unique<ReplaceStage>(next, *pattern_, content_);
  }
  bool apply(LoneToken& token) const override {
    if (token.is_fused && !is_character_) return false;
    if (is_valid_utf8(token.bytes)) token.bytes = replace_all(token.bytes, *pattern_, content_);  // else a part of a character
    return true;
  }

 private:
  std::string content_;
  bool is_character_ = false;
  std::unique_ptr<Pattern> pattern_;
};

bool apply_alone(const StripOptions& options, LoneToken& token) {
  const std::string& c = options.content;
  if (token.is_fused && (options.start > 1 || options.stop > 0)) return false;
  if (token.is_fused && !token.is_first) return true;
  std::string_view rest = token.bytes;
  for (int64_t i = 0; i < options.start && rest.starts_with(c); ++i) rest.remove_prefix(c.size());
  for (int64_t i = 0; i < options.stop && rest.ends_with(c); ++i) rest.remove_suffix(c.size());
  token.bytes = std::string(rest);
  return true;
}
bool apply_alone(const std::string& /*word_end*/, LoneToken& /*token*/) { return false; }
bool apply_alone(const WordPieceOptions& /*options*/, LoneToken& /*token*/) { return false; }

// A step whose stage needs a value of the file's.
template <typename Stage, typename Options>
class OptionsStep final : public DecodeStep {
 public:
  explicit OptionsStep(Options options) : options_(std::move(options)) {}
  std::unique_ptr<DecodeStage> start(DecodeStage& next) const override { return std::make_unique<Stage>(next, options_); }
  bool apply(LoneToken& token) const override { return apply_alone(options_, token); }

 private:
  Options options_;
};

std::unique_ptr<DecodeStep> read_strip(const Component& component) {
  component.allow_only({"content", "start", "stop"});
  constexpr int64_t kMost = 1 << 20;
  StripOptions options{component.string("content"), component.integer("start", 0, kMost), component.integer("stop", 0, kMost)};
  check(count_code_points(options.content) == 1, "{}: content is '{}', expected one character", component.where(),
        options.content);
  return std::make_unique<OptionsStep<StripStage, StripOptions>>(std::move(options));
}

std::unique_ptr<DecodeStep> read_word_end(const Component& component) {
  component.allow_only({"suffix"});
  std::string suffix = component.string("suffix");
  check(!suffix.empty(), "{}: suffix is empty", component.where());
  return std::make_unique<OptionsStep<WordEndStage, std::string>>(std::move(suffix));
}

std::unique_ptr<DecodeStep> read_word_piece(const Component& component) {
  component.allow_only({"prefix", "cleanup"});
  WordPieceOptions options{component.string("prefix"), component.boolean("cleanup")};
  check(!options.prefix.empty(), "{}: prefix is empty", component.where());
  return std::make_unique<OptionsStep<WordPieceStage, WordPieceOptions>>(std::move(options));
}

class MetaspaceStep final : public DecodeStep {
 public:
  explicit MetaspaceStep(const Component& component)
      : options_(MetaspaceOptions::read(component)), mark_(make_literal(options_.replacement)) {}
  std::unique_ptr<DecodeStage> start(DecodeStage& next) const override {
    return std::make_unique<MetaspaceStage>(next, options_, *mark_);
  }
  bool apply(LoneToken& token) const override {
    if (token.is_fused) return false;
    const bool drop = token.is_first && options_.prepend != MetaspaceOptions::Prepend::kNever;
    if (is_valid_utf8(token.bytes)) token.bytes = replace_all(token.bytes, *mark_, drop ? "" : " ");
    return true;
  }

 private:
  MetaspaceOptions options_;
  std::unique_ptr<Pattern> mark_;
};

}  // namespace

Decoder::Decoder() { steps_.push_back(std::make_unique<PlainStep<JoinStage>>()); }

Decoder::Decoder(const Component& component) { read(component); }

void Decoder::read(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    component.allow_only({"decoders"});
    for (const Component& part : component.children("decoders")) read(part);
  } else if (type == "ByteLevel") {
    component.allow_only({"add_prefix_space", "trim_offsets", "use_regex"});  // they concern encoding
    steps_.push_back(std::make_unique<PlainStep<ByteLevelStage>>());
  } else if (type == "ByteFallback") {
    component.allow_only({});
    steps_.push_back(std::make_unique<PlainStep<ByteFallbackStage>>());
  } else if (type == "Fuse") {
    component.allow_only({});
    steps_.push_back(std::make_unique<PlainStep<FuseStage>>());
  } else if (type == "Replace") {
    steps_.push_back(std::make_unique<ReplaceStep>(component));
  } else if (type == "Strip") {
    steps_.push_back(read_strip(component));
  } else if (type == "Metaspace") {
    steps_.push_back(std::make_unique<MetaspaceStep>(component));
  } else if (type == "BPEDecoder") {
    steps_.push_back(read_word_end(component));
  } else if (type == "WordPiece") {
    steps_.push_back(read_word_piece(component));
  } else {
    component.refuse_type("BPEDecoder, ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece");
  }
}

std::optional<std::string> Decoder::token_bytes(std::string_view token, bool is_first) const {
  LoneToken alone;
  alone.bytes = token;
  alone.is_first = is_first;
  for (const auto& step : steps_) {
    if (!step->apply(alone)) return std::nullopt;
  }
  return std::move(alone.bytes);
}

class Decoder::Run::Sink final : public DecodeStage {
 public:
  void push(std::string_view part, bool /*ends_token*/) override { text += part; }
  void finish() override {}
  std::string text;
};

Decoder::Run::Run(const Decoder& decoder) : sink_(std::make_unique<Sink>()) {
  for (auto it = decoder.steps_.rbegin(); it != decoder.steps_.rend(); ++it) {
    DecodeStage& next = stages_.empty() ? static_cast<DecodeStage&>(*sink_) : *stages_.back();
    stages_.push_back((*it)->start(next));
  }
}

Decoder::Run::~Run() = default;
Decoder::Run::Run(Run&&) noexcept = default;

void Decoder::Run::push(std::string_view token, std::string& out) {
  (stages_.empty() ? static_cast<DecodeStage&>(*sink_) : *stages_.back()).push(token, true);
  out += sink_->text;
  sink_->text.clear();
}

void Decoder::Run::finish(std::string& out) {
  if (!stages_.empty()) stages_.back()->finish();
  out += sink_->text;
  sink_->text.clear();
}

}  // namespace lockstep::text
