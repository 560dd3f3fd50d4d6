#include "grammar/regex_syntax.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "grammar/nfa.h"
#include "text/utf8.h"

namespace lockstep::grammar {
namespace {

using Node = std::unique_ptr<RegexNode>;
using Kind = RegexNode::Kind;

constexpr int kMaxDepth = 100;
constexpr size_t kMaxPattern = 256 * 1024;
constexpr int32_t kMaxRepeat = 100000;
constexpr char32_t kMaxCodePoint = 0x10FFFF;

Node make(Kind kind) {
  auto node = std::make_unique<RegexNode>();
  node->kind = kind;
  return node;
}

Node character(CharacterSet set) {
  Node node = make(Kind::kCharacter);
  node->characters = std::move(set);
  return node;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : pattern_(pattern) {
    check(pattern.size() <= kMaxPattern, "the regular expression has {} bytes; allowed: at most {}", pattern.size(), kMaxPattern);
    check(text::is_valid_utf8(pattern), "the regular expression is not valid UTF-8");
  }

  Node parse() {
    Node node = alternatives(0);
    if (!at_end()) refuse("a ')' that nothing opens");
    return node;
  }

 private:
  bool at_end() const { return at_ == pattern_.size(); }
  bool looking_at(std::string_view what) const { return pattern_.substr(at_).starts_with(what); }
  bool accept(std::string_view what) {
    if (!looking_at(what)) return false;
    at_ += what.size();
    return true;
  }
  char32_t next() {
    if (at_end()) refuse("an end that comes too early");
    return text::next_code_point(pattern_, at_);
  }
  [[noreturn]] void refuse(std::string_view what) const {
    constexpr size_t kShown = 80;
    const bool is_long = pattern_.size() > kShown;
    fail("the regular expression '{}{}' has at byte {}: {}", text::repair_utf8(pattern_.substr(0, kShown)), is_long ? "..." : "",
         at_, what);
  }

  Node alternatives(int depth) {
    if (depth > kMaxDepth) refuse("groups that are nested too deep");
    Node all = make(Kind::kAlternatives);
    do {
      all->children.push_back(sequence(depth));
    } while (accept("|"));
    return all->children.size() == 1 ? std::move(all->children.front()) : std::move(all);
  }

  Node sequence(int depth) {
    Node all = make(Kind::kSequence);
    while (!at_end() && pattern_[at_] != '|' && pattern_[at_] != ')') all->children.push_back(quantified(depth));
    return all;
  }

  Node quantified(int depth) {
    Node node = atom(depth);
    for (int count = 0;; ++count) {
      int32_t min = 0, max = Nfa::kUnbounded;
      const size_t before = at_;
      if (accept("+")) {
        min = 1;
      } else if (accept("?")) {
        max = 1;
      } else if (!accept("*") && !counts(min, max)) {
        return node;
      }
      if (node->kind == Kind::kStart || node->kind == Kind::kEnd || count > 0) {
        at_ = before;
        refuse("nothing to repeat before a quantifier");
      }
      if (looking_at("+")) refuse("a possessive quantifier, which is not supported");
      accept("?");  // lazy: the same language
      Node repeat = make(Kind::kRepeat);
      repeat->min = min;
      repeat->max = max;
      repeat->children.push_back(std::move(node));
      node = std::move(repeat);
    }
  }

  // {m} {m,} {m,n} {,n}; anything else in braces is text, as in Python.
  bool counts(int32_t& min, int32_t& max) {
    if (!looking_at("{")) return false;
    const size_t before = at_++;
    const std::optional<int32_t> low = number();
    std::optional<int32_t> high = low;
    const bool comma = accept(",");
    if (comma) high = number();
    if (!accept("}") || (!low && !high)) {
      at_ = before;
      return false;
    }
    min = low.value_or(0);
    max = comma ? high.value_or(Nfa::kUnbounded) : min;
    if (min > max) refuse("a repetition whose minimum is above its maximum");
    return true;
  }
  std::optional<int32_t> number() {
    std::optional<int32_t> value;
    while (!at_end() && pattern_[at_] >= '0' && pattern_[at_] <= '9') {
      value = value.value_or(0) * 10 + (pattern_[at_++] - '0');
      if (*value > kMaxRepeat) refuse("a repetition of more than 100000 times");
    }
    return value;
  }

  Node atom(int depth) {
    if (accept("(")) return group(depth);
    if (accept("[")) return character(bracket_class());
    if (accept(".")) return character(CharacterSet::not_line_end());
    if (accept("^")) return make(Kind::kStart);
    if (accept("$")) return make(Kind::kEnd);
    if (looking_at("\\")) {
      if (accept("\\A")) return make(Kind::kStart);
      if (accept("\\Z") || accept("\\z")) return make(Kind::kEnd);
      return character(escape(/*in_class=*/false));
    }
    if (looking_at("*") || looking_at("+") || looking_at("?")) refuse("nothing to repeat before a quantifier");
    const char32_t c = next();
    return character(CharacterSet::of(c, c));
  }

  Node group(int depth) {
    if (looking_at("?")) {
      if (looking_at("?=") || looking_at("?!") || looking_at("?<=") || looking_at("?<!")) {
        refuse("look-around, which is not supported (it is not regular here)");
      }
      if (looking_at("?P=")) refuse("a back-reference, which no automaton can follow");
      if (accept("?P<") || accept("?<")) {
        size_t length = 0;
        for (; !looking_at(">"); ++length) {
          const char32_t c = next();
          const bool ok = c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (length > 0 && c >= '0' && c <= '9');
          if (!ok) refuse("a group whose name is none");
        }
        if (length == 0) refuse("a group whose name is none");
        ++at_;
      } else if (!accept("?:")) {
        refuse("a kind of group that is not supported; allowed: (…), (?:…), (?P<name>…), (?<name>…)");
      }
    }
    Node node = alternatives(depth + 1);
    if (!accept(")")) refuse("a group that is not closed");
    return node;
  }

  char32_t hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = next();
      const bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'f', upper = c >= 'A' && c <= 'F';
      if (!digit && !lower && !upper) refuse("an escape that needs more hexadecimal digits");
      value = value * 16 + (digit ? c - '0' : lower ? c - 'a' + 10 : c - 'A' + 10);
    }
    return checked(value);
  }
  char32_t checked(char32_t c) const {
    if (c > kMaxCodePoint || (c >= 0xD800 && c <= 0xDFFF)) refuse("an escape that is no Unicode character");
    return c;
  }

  static CharacterSet negated(CharacterSet set) {
    set.negate();
    return set;
  }

  CharacterSet escape(bool in_class) {
    ++at_;  // the backslash
    const char32_t c = next();
    const auto one = [](char32_t x) { return CharacterSet::of(x, x); };
    switch (c) {
      case 'd': return CharacterSet::digits();
      case 'D': return negated(CharacterSet::digits());
      case 'w': return CharacterSet::words();
      case 'W': return negated(CharacterSet::words());
      case 's': return CharacterSet::white_space();
      case 'S': return negated(CharacterSet::white_space());
      case 't': return one('\t');
      case 'n': return one('\n');
      case 'r': return one('\r');
      case 'f': return one('\f');
      case 'v': return one('\v');
      case 'x': return one(hex(2));
      case 'U': return one(hex(8));
      case 'u': return one(unicode_escape());
      case '0':
        if (!at_end() && pattern_[at_] >= '0' && pattern_[at_] <= '9') refuse("an octal escape, which is not supported");
        return one(0);
      case 'b':
        if (in_class) return one('\b');
        refuse("a word boundary, which is not supported");
      default: break;
    }
    if (c >= '1' && c <= '9') refuse("a back-reference, which no automaton can follow");
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) refuse("an escape that is not known or not supported");
    return one(c);
  }

  // Behind \u: four digits, a surrogate pair of them, or braces.
  char32_t unicode_escape() {
    if (accept("{")) {
      char32_t value = 0;
      size_t digits = 0;
      for (; !accept("}"); ++digits) {
        if (digits == 6) refuse("an escape that is no Unicode character");
        value = value * 16 + hex(1);
      }
      if (digits == 0) refuse("an escape that needs more hexadecimal digits");
      return checked(value);
    }
    if (looking_at("D8") || looking_at("D9") || looking_at("DA") || looking_at("DB") || looking_at("d8") || looking_at("d9") ||
        looking_at("da") || looking_at("db") || looking_at("dA") || looking_at("dB") || looking_at("Da") || looking_at("Db")) {
      const char32_t high = code_unit();
      if (!accept("\\u")) refuse("half of a surrogate pair");
      const char32_t low = code_unit();
      if (low < 0xDC00 || low > 0xDFFF) refuse("half of a surrogate pair");
      return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    return checked(code_unit());
  }
  char32_t code_unit() {
    const char32_t high = hex(2);
    return high * 256 + hex(2);
  }

  CharacterSet bracket_class() {
    const size_t open = at_ - 1;
    const bool negate = accept("^");
    CharacterSet set;
    for (bool first = true; first || !looking_at("]"); first = false) {
      if (at_end()) {
        at_ = open;
        refuse("a class that is not closed");
      }
      if (looking_at("[:") || looking_at("[=") || looking_at("[.")) refuse("a POSIX class, which is not supported");
      if (looking_at("--") || looking_at("&&") || looking_at("||") || looking_at("~~")) {
        refuse("a set operation in a class, which is not supported; escape the character");
      }
      const std::pair<CharacterSet, std::optional<char32_t>> low = member();
      if (looking_at("-") && !looking_at("-]")) {
        ++at_;
        const std::pair<CharacterSet, std::optional<char32_t>> high = member();
        if (!low.second || !high.second || *low.second > *high.second)
          refuse("a range whose ends are none or the wrong way round");
        set.unite(CharacterSet::of(*low.second, *high.second));
      } else {
        set.unite(low.first);
      }
    }
    ++at_;
    if (negate) set.negate();
    return set;
  }

  // A member of a class, and the character where it is one.
  std::pair<CharacterSet, std::optional<char32_t>> member() {
    if (looking_at("\\")) {
      CharacterSet set = escape(/*in_class=*/true);
      const auto& ranges = set.narrow.ranges();
      const bool is_one = ranges.size() == 1 && ranges[0].first == ranges[0].second;
      std::optional<char32_t> one;
      if (is_one) one = ranges[0].first;
      return {std::move(set), one};
    }
    const char32_t c = next();
    return {CharacterSet::of(c, c), c};
  }

  std::string_view pattern_;
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<RegexNode> parse_regex(std::string_view pattern) { return Parser(pattern).parse(); }

std::string escape_regex(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace lockstep::grammar
