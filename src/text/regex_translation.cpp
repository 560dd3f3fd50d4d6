// Oniguruma's Ruby syntax to PCRE2's. The differences that matter to pre-tokenizers:
//   \s            PCRE2 counts U+180E as a blank; Unicode has not since 6.3
//   \p{L} ...     the two libraries know different versions of Unicode (unicode_additions.h)
//   \p{Han}       PCRE2 means Script_Extensions, Oniguruma Script
//   \h \v \w \b   mean other things, or other sets
//   [a[bc]] &&    set operations, which PCRE2 10.42 does not have
//   {,n} {n}+     read differently
#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

constexpr std::string_view kSpace =
    "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}"
    "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{D7FF}\\x{E000}-\\x{10FFFF}";

constexpr std::array<std::string_view, 35> kCategories = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N", "Nd",
                                                          "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm",
                                                          "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cs"};

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    std::vector<bool> outer_caseless;  // what each open group restores
    while (!at_end()) {
      const char c = in_[i_];
      if (c == '\\') {
        escape(/*in_class=*/false);
        literal_ = 0;
      } else if (c == '[') {
        character_class();
        literal_ = 0;
      } else if (c == '(') {
        outer_caseless.push_back(caseless_);
        if (open_group()) outer_caseless.pop_back();
        literal_ = 0;
      } else if (c == ')') {
        if (outer_caseless.empty()) refuse("an unmatched ')'");
        caseless_ = outer_caseless.back();
        outer_caseless.pop_back();
        copy(1);
        literal_ = 0;
      } else if (c == '{') {
        quantifier();
        literal_ = 0;
      } else {
        plain();
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail("{}: the regular expression '{}' uses {} at byte {}, which is not supported", where_, in_, what, i_);
  }
  bool at_end() const { return i_ >= in_.size(); }
  bool follows(std::string_view s) const { return in_.substr(i_).starts_with(s); }
  void copy(size_t n) {
    out_.append(in_, i_, n);
    i_ += n;
  }

  void plain() {
    const auto c = static_cast<unsigned char>(in_[i_]);
    if (caseless_) {
      // Oniguruma folds some pairs to one character (ss = ß, st = ﬆ, f* = ﬀ ﬁ ﬂ); PCRE2 folds single characters only.
      if (c >= 0x80) refuse("a character beyond ASCII under (?i)");
      const char lower = static_cast<char>(std::tolower(c));
      if ((literal_ == 's' && (lower == 's' || lower == 't')) ||
          (literal_ == 'f' && std::string_view("fil").find(lower) != std::string_view::npos)) {
        refuse("a pair of letters that has a ligature under (?i)");
      }
      literal_ = lower;
    }
    copy(utf8_length(in_[i_]));
  }

  // At '('. Returns whether it was an option setting such as (?i), which opens nothing.
  bool open_group() {
    for (const std::string_view group : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (follows(group)) return copy(group.size()), false;
    }
    if (follows("(?i:")) return caseless_ = true, copy(4), false;
    if (follows("(?-i:")) return caseless_ = false, copy(5), false;
    if (follows("(?i)") && i_ == 0) return caseless_ = true, copy(4), true;
    if (follows("(?")) refuse(fmt::format("the group '{}'", in_.substr(i_, 4)));
    if (follows("(*")) refuse("'(*'");
    copy(1);
    return false;
  }

  void quantifier() {
    const size_t end = in_.find('}', i_);
    const std::string_view inside = end == std::string_view::npos ? "" : in_.substr(i_ + 1, end - i_ - 1);
    const bool digits = !inside.empty() && inside.size() <= 11 && std::isdigit(static_cast<unsigned char>(inside[0])) &&
                        inside.find_first_not_of("0123456789,") == std::string_view::npos &&
                        std::count(inside.begin(), inside.end(), ',') <= 1;
    if (!digits) refuse("a '{' that is not a quantifier {n}, {n,} or {n,m}");
    if (end + 1 < in_.size() && (in_[end + 1] == '+' || in_[end + 1] == '?')) refuse("'}' followed by '+' or '?'");
    copy(end + 1 - i_);
  }

  void character_class() {
    copy(1);
    if (follows("^")) copy(1);
    if (follows("]")) refuse("a class that begins with ']'");
    while (!follows("]")) {
      if (at_end()) refuse("a class without end");
      if (follows("[")) refuse("a class within a class");
      if (follows("&&")) refuse("an intersection of classes (&&)");
      if (follows("\\")) {
        escape(/*in_class=*/true);
      } else {
        if (caseless_ && static_cast<unsigned char>(in_[i_]) >= 0x80) refuse("a character beyond ASCII under (?i)");
        copy(utf8_length(in_[i_]));
      }
    }
    copy(1);
  }

  // A set of characters given by what goes inside a class, and by its complement where that is known.
  void set(std::string_view members, std::string_view complement, bool negated, bool in_class) {
    if (!in_class) {
      out_ += negated ? "[^" : "[";
      out_ += members;
      out_ += "]";
    } else if (!negated) {
      out_ += members;
    } else {
      if (complement.empty()) refuse("a negated property within a class");
      out_ += complement;
    }
  }

  void escape(bool in_class) {
    if (i_ + 1 >= in_.size()) refuse("a trailing backslash");
    const char c = in_[i_ + 1];
    switch (c) {
      case 's':
      case 'S': set(kSpace, kNotSpace, c == 'S', in_class); break;
      case 'd':
      case 'D': set("\\p{Nd}" + newer_characters("Nd"), "", c == 'D', in_class); break;
      case 'p':
      case 'P': property(c == 'P', in_class); return;
      case 'v': out_ += "\\x{B}"; break;
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e': copy(2); return;
      case 'A':
      case 'z':
        if (in_class) refuse(fmt::format("'\\{}' within a class", c));
        copy(2);
        return;
      case 'x':
      case 'u': hexadecimal(c); return;
      default:
        if (std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80) {
          refuse(fmt::format("the escape '{}'", in_.substr(i_, 1 + utf8_length(c))));
        }
        copy(2);
        return;
    }
    i_ += 2;
  }

  // \xHH (at most two digits; a byte in Oniguruma, so ASCII only), \x{H...}, \uHHHH.
  void hexadecimal(char kind) {
    const size_t start = i_;
    i_ += 2;
    const bool braces = kind == 'x' && follows("{");
    if (braces) ++i_;
    std::string digits;
    const size_t most = braces ? 6 : kind == 'u' ? 4 : 2;
    while (!at_end() && digits.size() < most && std::isxdigit(static_cast<unsigned char>(in_[i_]))) digits += in_[i_++];
    const bool closed = !braces || (follows("}") && ++i_);
    const unsigned long value = digits.empty() ? 0x110000 : std::stoul(digits, nullptr, 16);
    if (!closed || digits.empty() || (kind == 'u' && digits.size() != 4) || value > 0x10FFFF ||
        (value >= 0xD800 && value < 0xE000) || (kind == 'x' && !braces && value >= 0x80) || (caseless_ && value >= 0x80)) {
      i_ = start;
      refuse("a code point that is not valid here");
    }
    out_ += fmt::format("\\x{{{}}}", digits);
  }

  void property(bool negated, bool in_class) {
    const size_t end = in_.find('}', i_);
    if (i_ + 2 >= in_.size() || in_[i_ + 2] != '{' || end == std::string_view::npos) refuse("a property without braces");
    std::string_view name = in_.substr(i_ + 3, end - i_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    if (std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end()) {
      if (caseless_ && (name == "Lu" || name == "Ll" || name == "Lt")) refuse("a property of case under (?i)");
      set(fmt::format("\\p{{{}}}{}", name, newer_characters(name)), "", negated, in_class);
    } else {
      const bool letters =
          name.size() > 2 && std::isupper(static_cast<unsigned char>(name[0])) &&
          std::all_of(name.begin(), name.end(), [](char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; });
      if (!letters) refuse(fmt::format("the property '{}'", name));
      set(fmt::format("\\p{{sc:{}}}", name), "", negated, in_class);
    }
    i_ = end + 1;
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t i_ = 0;
  bool caseless_ = false;
  char literal_ = 0;  // the preceding letter under (?i), in lower case
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) { return Translator(pattern, where).run(); }

}  // namespace lockstep::text
