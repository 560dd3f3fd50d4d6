// Oniguruma's Ruby syntax to PCRE2's. The differences that matter to pre-tokenizers:
//   \s            PCRE2 counts U+180E as a blank; Unicode has not since 6.3
//   \p{L} ...     the two libraries know different versions of Unicode (unicode_additions.h)
//   \p{Han}       PCRE2 means Script_Extensions, Oniguruma Script
//   \h \v \w \b   mean other things, or other sets
//   [a[bc]] &&    set operations, which PCRE2 10.42 does not have: the sets are computed here
//   {,n} {n}+     read differently
#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <variant>

#include "base/error.h"
#include "text/code_point_set.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

constexpr int kMaxClassDepth = 16;
constexpr std::string_view kSpace =
    "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}"
    "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{D7FF}\\x{E000}-\\x{10FFFF}";
constexpr std::string_view kHexadecimalDigits = "0-9A-Fa-f";
// Oniguruma takes these for word characters outside of a class, as in ISO 8859-1.
constexpr std::string_view kLatin1WordNumbers = "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";

constexpr std::array<std::string_view, 35> kCategories = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N", "Nd",
                                                          "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm",
                                                          "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cs"};
constexpr std::pair<std::string_view, std::string_view> kLongNames[] = {
    {"letter", "L"}, {"uppercaseletter", "Lu"}, {"lowercaseletter", "Ll"}, {"mark", "M"},
    {"number", "N"}, {"digit", "Nd"},           {"decimalnumber", "Nd"},   {"punctuation", "P"},
    {"punct", "P"},  {"symbol", "S"},           {"separator", "Z"}};

// What a shorthand such as \s or \p{L} stands for: [members], or [^members].
struct Set {
  std::string members;
  bool negated = false;
  std::string_view complement = {};  // members of the complement, where they are known without a computation
};
using Item = std::variant<char32_t, Set>;

std::string category_members(std::string_view category) {
  return fmt::format("\\p{{{}}}{}", category, newer_characters(category));
}

std::string categories_members(std::initializer_list<std::string_view> categories) {
  std::string out;
  for (const std::string_view category : categories) out += category_members(category);
  return out;
}

// \w in a class. Alphabetic beyond letters, marks and numbers are the circled and squared letters.
std::string word_members() {
  return categories_members({"L", "M", "Nd", "Nl", "Pc"}) +
         "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}";
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    std::vector<bool> outer_caseless;  // what each open group restores
    while (!at_end()) {
      const char c = in_[i_];
      if (c == '(') {
        outer_caseless.push_back(caseless_);
        if (open_group()) outer_caseless.pop_back();
      } else if (c == ')') {
        if (outer_caseless.empty()) refuse("an unmatched ')'");
        caseless_ = outer_caseless.back();
        outer_caseless.pop_back();
        copy(1);
      } else if (c == '\\') {
        escape();
      } else if (c == '[') {
        character_class();
      } else if (c == '{') {
        quantifier();
      } else {
        plain();
        continue;
      }
      literal_ = 0;
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

  // {n}, {n,}, {n,m} or {,m}; any other '{' is a character like the rest.
  void quantifier() {
    const size_t end = in_.find('}', i_);
    const std::string_view inside = end == std::string_view::npos ? "" : in_.substr(i_ + 1, end - i_ - 1);
    const size_t comma = inside.find(',');
    const bool is_quantifier = !inside.empty() && inside != "," &&
                               inside.find_first_not_of("0123456789,") == std::string_view::npos &&
                               (comma == std::string_view::npos || inside.find(',', comma + 1) == std::string_view::npos);
    if (!is_quantifier) {
      out_ += "\\{";
      ++i_;
      return;
    }
    const char next = end + 1 < in_.size() ? in_[end + 1] : '\0';
    if (next == '+' || (next == '?' && comma == std::string_view::npos)) refuse("'}' followed by '+' or '?'");
    if (inside.size() > 11) refuse("a large quantifier");
    if (comma == 0) {
      out_ += fmt::format("{{0{}}}", inside);
      i_ = end + 1;
    } else {
      copy(end + 1 - i_);
    }
  }

  void character_class() {
    const size_t start = i_, written = out_.size();
    if (simple_class()) return;
    i_ = start;
    out_.resize(written);
    if (caseless_) refuse("operations on classes under (?i)");
    const std::string members = class_set(0).pcre_members();
    out_ += members.empty() ? "(?!)" : "[" + members + "]";
  }

  // A class that PCRE2 can express. Returns false, having written something, where it must be computed.
  bool simple_class() {
    copy(1);
    if (follows("^")) copy(1);
    if (follows("]")) refuse("a class that begins with ']'");
    while (!follows("]")) {
      if (at_end()) refuse("a class without end");
      if (follows("[") || follows("&&")) return false;
      if (follows("\\")) {
        const Item item = escape_item(/*in_class=*/true);
        if (const auto* c = std::get_if<char32_t>(&item)) {
          append_escaped(*c);
          continue;
        }
        const Set& set = std::get<Set>(item);
        if (set.negated && set.complement.empty()) return false;
        out_ += set.negated ? set.complement : std::string_view(set.members);
      } else {
        if (caseless_ && static_cast<unsigned char>(in_[i_]) >= 0x80) refuse("a character beyond ASCII under (?i)");
        copy(utf8_length(in_[i_]));
      }
    }
    copy(1);
    return true;
  }

  void append_escaped(char32_t c) { out_ += fmt::format("\\x{{{:X}}}", static_cast<uint32_t>(c)); }

  // PCRE2 is asked about every code point, so each question is asked once.
  CodePointSet computed(const Set& set) {
    auto it = computed_.find(set.members);
    if (it == computed_.end()) it = computed_.emplace(set.members, code_points_of(set.members, where_)).first;
    CodePointSet out = it->second;
    if (set.negated) out.complement();
    return out;
  }

  // The members of the class at '[', which may hold classes and intersections.
  CodePointSet class_set(int depth) {
    if (depth > kMaxClassDepth) refuse("classes nested too deep");
    ++i_;
    const bool negated = follows("^");
    if (negated) ++i_;
    if (follows("]")) refuse("a class that begins with ']'");
    std::optional<CodePointSet> all;  // the operands of && so far
    CodePointSet current;
    std::string members;  // of the current operand too, not computed yet
    const auto close_operand = [&] {
      if (!members.empty()) current.unite(computed({members}));
      members.clear();
      if (all) {
        all->intersect(current);
      } else {
        all = current;
      }
      current = CodePointSet();
    };
    while (!follows("]")) {
      if (at_end()) refuse("a class without end");
      if (follows("&&")) {
        close_operand();
        i_ += 2;
      } else if (follows("[:")) {
        current.unite(posix_bracket());
      } else if (follows("[")) {
        current.unite(class_set(depth + 1));
      } else {
        class_item(members, current);
      }
    }
    ++i_;
    close_operand();
    if (negated) all->complement();
    return *all;
  }

  // A character, a range or a shorthand: appended to `members`, or united with `current` if it is negated.
  void class_item(std::string& members, CodePointSet& current) {
    const Item first = class_atom();
    if (const auto* set = std::get_if<Set>(&first)) {
      if (set->negated) return current.unite(computed(*set));
      members += set->members;
      return;
    }
    const char32_t low = std::get<char32_t>(first);
    if (!follows("-") || follows("-]") || follows("-[") || follows("-&&")) return current.unite({low, low});
    if (low == '-') refuse("a range that begins with '-'");
    ++i_;
    const Item second = class_atom();
    const auto* high = std::get_if<char32_t>(&second);
    if (high == nullptr || *high < low) refuse("a range that does not end in a higher character");
    current.unite({low, *high});
  }

  Item class_atom() {
    if (at_end()) refuse("a class without end");
    if (follows("\\")) return escape_item(/*in_class=*/true);
    return next_code_point(in_, i_);
  }

  CodePointSet posix_bracket() {
    const size_t end = in_.find(":]", i_);
    std::string_view name = end == std::string_view::npos ? "" : in_.substr(i_ + 2, end - i_ - 2);
    Set set;
    if (name.starts_with('^')) {
      set.negated = true;
      name.remove_prefix(1);
    }
    if (name == "digit") {
      set.members = category_members("Nd");
    } else if (name == "space") {
      set.members = kSpace;
    } else if (name == "word") {
      set.members = word_members();
    } else if (name == "xdigit") {
      set.members = kHexadecimalDigits;
    } else if (name == "punct") {
      set.members = categories_members({"P", "S"});
    } else if (name == "cntrl") {
      set.members = category_members("Cc");
    } else {
      refuse(fmt::format("the bracket '[:{}:]'", name));
    }
    i_ = end + 2;
    return computed(set);
  }

  // At a backslash outside of a class.
  void escape() {
    const std::string word = "[" + word_members() + std::string(kLatin1WordNumbers) + "]";
    if (follows("\\A") || follows("\\z") || follows("\\Z")) return copy(2);
    if (follows("\\b")) {
      out_ += fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word);
    } else if (follows("\\B")) {
      out_ += fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word);
    } else if (follows("\\R")) {
      out_ += "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])";
    } else {
      const Item item = escape_item(/*in_class=*/false);
      if (const auto* c = std::get_if<char32_t>(&item)) {
        append_escaped(*c);
      } else {
        const Set& set = std::get<Set>(item);
        out_ += (set.negated ? "[^" : "[") + set.members + "]";
      }
      return;
    }
    i_ += 2;
  }

  // A backslash and what follows, where that is a character or a set of characters.
  Item escape_item(bool in_class) {
    if (i_ + 1 >= in_.size()) refuse("a trailing backslash");
    const char c = in_[i_ + 1];
    const auto simple = [&](Item item) {
      i_ += 2;
      return item;
    };
    switch (c) {
      case 's':
      case 'S': return simple(Set{std::string(kSpace), c == 'S', kNotSpace});
      case 'd':
      case 'D': return simple(Set{category_members("Nd"), c == 'D'});
      case 'w':
      case 'W': return simple(Set{word_members() + std::string(in_class ? "" : kLatin1WordNumbers), c == 'W'});
      case 'h':
      case 'H': return simple(Set{std::string(kHexadecimalDigits), c == 'H'});
      case 'p':
      case 'P': return property(c == 'P');
      case 'v': return simple(char32_t{0xB});
      case 'n': return simple(U'\n');
      case 'r': return simple(U'\r');
      case 't': return simple(U'\t');
      case 'f': return simple(U'\f');
      case 'a': return simple(U'\a');
      case 'e': return simple(char32_t{0x1B});
      case 'x':
      case 'u': return hexadecimal(c);
      default:
        if (std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80) {
          refuse(fmt::format("the escape '{}'", in_.substr(i_, 1 + utf8_length(c))));
        }
        return simple(static_cast<char32_t>(c));
    }
  }

  // \xHH (at most two digits; a byte in Oniguruma, so ASCII only), \x{H...}, \uHHHH.
  Item hexadecimal(char kind) {
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
    return static_cast<char32_t>(value);
  }

  Item property(bool negated) {
    const size_t end = in_.find('}', i_);
    if (i_ + 2 >= in_.size() || in_[i_ + 2] != '{' || end == std::string_view::npos) refuse("a property without braces");
    std::string_view name = in_.substr(i_ + 3, end - i_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    Set set = property_set(name);
    if (negated) set.negated = !set.negated;
    i_ = end + 1;
    return set;
  }

  // Oniguruma compares names without regard to case, blanks, '_' and '-'.
  Set property_set(std::string_view name) const {
    std::string plain;
    for (const char c : name) {
      if (c != ' ' && c != '_' && c != '-') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    const auto is_same = [&](std::string_view category) {
      return std::equal(category.begin(), category.end(), plain.begin(), plain.end(),
                        [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
    };
    std::string_view category;
    for (const std::string_view c : kCategories) {
      if (is_same(c)) category = c;
    }
    for (const auto& [long_name, c] : kLongNames) {
      if (plain == long_name) category = c;
    }
    if (!category.empty()) {
      if (caseless_ && (category == "Lu" || category == "Ll" || category == "Lt")) refuse("a property of case under (?i)");
      return {category_members(category)};
    }
    if (plain == "c" || plain == "other") return {categories_members({"L", "M", "N", "P", "S", "Z"}), true};
    if (plain == "cn" || plain == "unassigned") {
      return {categories_members({"L", "M", "N", "P", "S", "Z", "Cc", "Cf", "Co", "Cs"}), true};
    }
    if (plain == "any") return {"\\x{0}-\\x{10FFFF}"};
    if (plain == "ascii") return {"\\x{0}-\\x{7F}"};
    if (plain == "space") return {std::string(kSpace), false, kNotSpace};
    if (plain == "word") return {word_members() + std::string(kLatin1WordNumbers)};
    if (plain == "xdigit") return {std::string(kHexadecimalDigits)};
    if (plain.size() < 3 || !std::all_of(plain.begin(), plain.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
      refuse(fmt::format("the property '{}'", name));
    }
    return {fmt::format("\\p{{sc:{}}}{}", plain, newer_characters_of_script(plain))};
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t i_ = 0;
  bool caseless_ = false;
  char literal_ = 0;  // the preceding letter under (?i), in lower case
  std::map<std::string, CodePointSet> computed_;
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) { return Translator(pattern, where).run(); }

}  // namespace lockstep::text
