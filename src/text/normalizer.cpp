#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

class UnicodeNormalizer final : public Normalizer {
 public:
  UnicodeNormalizer(bool compose, bool compat) : compose_(compose), compat_(compat) {}

  // Source: the Unicode Standard, 3.11. Decomposition and composition are utf8proc's; the reordering of marks between them is
  // ours, because utf8proc's is quadratic in the length of a run of marks. A character that `tokenizers` does not know cuts the
  // text.
  std::string normalize(std::string text) const override {
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return text;
    std::string out;
    out.reserve(text.size());
    std::vector<utf8proc_int32_t> points;
    points.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const char32_t c = next_code_point(text, i);
      if (c >= 0x300 && is_newer_than_normalization(c)) {
        finish(points, out);
        append_code_point(out, c);
      } else {
        decompose(static_cast<utf8proc_int32_t>(c), points);
      }
    }
    finish(points, out);
    return out;
  }

 private:
  void decompose(utf8proc_int32_t c, std::vector<utf8proc_int32_t>& points) const {
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compat_ ? UTF8PROC_COMPAT : 0));
    utf8proc_int32_t buffer[32];  // the longest decomposition has 18 characters
    int last_boundary_class = 0;
    const auto n = utf8proc_decompose_char(c, buffer, 32, options, &last_boundary_class);
    check(n >= 0 && n <= 32, "Unicode decomposition failed at U+{:04X}", c);
    points.insert(points.end(), buffer, buffer + n);
  }

  // Appends the decomposed text in its normal form to `out`, and clears it.
  void finish(std::vector<utf8proc_int32_t>& points, std::string& out) const {
    sort_marks(points);
    auto count = static_cast<utf8proc_ssize_t>(points.size());
    if (compose_) {
      count = utf8proc_normalize_utf32(points.data(), count, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
      check(count >= 0, "Unicode normalization failed: {}", utf8proc_errmsg(std::min<utf8proc_ssize_t>(count, 0)));
    }
    for (utf8proc_ssize_t i = 0; i < count; ++i) append_code_point(out, static_cast<char32_t>(points[static_cast<size_t>(i)]));
    points.clear();
  }

  // Puts each run of characters with a combining class other than 0 in the order of their classes.
  static void sort_marks(std::vector<utf8proc_int32_t>& points) {
    const auto combining_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (auto begin = points.begin(); begin != points.end();) {
      if (combining_class(*begin) == 0) {
        ++begin;
        continue;
      }
      const auto end = std::find_if(begin, points.end(), [&](utf8proc_int32_t c) { return combining_class(c) == 0; });
      std::stable_sort(begin, end, [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
      begin = end;
    }
  }

  bool compose_;
  bool compat_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string normalize(std::string text) const override { return text.empty() ? text : prefix_ + text; }

 private:
  std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(std::unique_ptr<Pattern> pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string normalize(std::string text) const override {
    std::vector<Match> matches;
    pattern_->find(text, matches);
    std::string out;
    out.reserve(text.size());
    for (const Match& m : matches) {
      if (m.is_match) {
        out += content_;
      } else {
        out.append(text, m.begin, m.end - m.begin);
      }
    }
    return out;
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

// Rewrites character by character: rewrite(c, out) appends what becomes of c.
template <void (*rewrite)(char32_t, std::string&)>
class CharacterNormalizer final : public Normalizer {
 public:
  std::string normalize(std::string text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) rewrite(next_code_point(text, i), out);
    return out;
  }
};

void lowercase(char32_t c, std::string& out) { append_lowercase(out, c); }

void strip_accent(char32_t c, std::string& out) {
  if (!is_mark(c)) append_code_point(out, c);
}

// sentencepiece's rules for machine translation: controls go, blanks of all kinds become ' '.
void nmt(char32_t c, std::string& out) {
  const auto within = [c](char32_t first, char32_t last) { return first <= c && c <= last; };
  if (within(0x1, 0x8) || c == 0xB || within(0xE, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return;
  const bool blank = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || within(0x200B, 0x200F) || c == 0x2028 ||
                     c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  append_code_point(out, blank ? U' ' : c);
}

class StripBlanks final : public Normalizer {
 public:
  StripBlanks(bool left, bool right) : left_(left), right_(right) {}
  std::string normalize(std::string text) const override {
    size_t begin = 0, end = text.size();
    for (size_t i = 0; left_ && i < end && is_white_space(next_code_point(text, i));) begin = i;
    while (right_ && end > begin) {
      const size_t last = previous_character(text, end);
      size_t i = last;
      if (!is_white_space(next_code_point(text, i))) break;
      end = last;
    }
    return text.substr(begin, end - begin);
  }

 private:
  bool left_;
  bool right_;
};

class ByteLevelNormalizer final : public Normalizer {
 public:
  std::string normalize(std::string text) const override {
    std::string out;
    append_byte_level(text, out);
    return out;
  }
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  std::string normalize(std::string text) const override {
    for (const auto& part : parts_) text = part->normalize(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace

std::unique_ptr<Normalizer> Normalizer::create(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    component.allow_only({"normalizers"});
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const Component& part : component.children("normalizers")) parts.push_back(create(part));
    return std::make_unique<NormalizerSequence>(std::move(parts));
  }
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    component.allow_only({});
    return std::make_unique<UnicodeNormalizer>(type.back() == 'C', type[2] == 'K');
  }
  if (type == "Prepend") {
    component.allow_only({"prepend"});
    return std::make_unique<Prepend>(component.string("prepend"));
  }
  if (type == "Replace") {
    component.allow_only({"pattern", "content"});
    auto [is_regex, text] = component.pattern();
    return std::make_unique<Replace>(is_regex ? make_regex(text, component.where()) : make_literal(text),
                                     component.string("content"));
  }
  if (type == "ByteLevel") {
    component.allow_only({});
    return std::make_unique<ByteLevelNormalizer>();
  }
  if (type == "Lowercase") {
    component.allow_only({});
    return std::make_unique<CharacterNormalizer<lowercase>>();
  }
  if (type == "StripAccents") {
    component.allow_only({});
    return std::make_unique<CharacterNormalizer<strip_accent>>();
  }
  if (type == "Nmt") {
    component.allow_only({});
    return std::make_unique<CharacterNormalizer<nmt>>();
  }
  if (type == "Strip") {
    component.allow_only({"strip_left", "strip_right"});
    return std::make_unique<StripBlanks>(component.boolean("strip_left"), component.boolean("strip_right"));
  }
  component.refuse_type("Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace, ByteLevel, Lowercase, Strip, StripAccents, Nmt");
}

}  // namespace lockstep::text
