#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "text/jinja/characters.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Line ends become \n, and one at the very end is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where) : source_(normalize_newlines(source)), where_(where) {}

  std::vector<Token> run() {
    while (i_ < source_.size()) {
      const size_t tag = find_tag();
      if (tag == std::string::npos) {
        add_data(i_, rest());
        i_ = source_.size();
      } else {
        read_tag(tag);
      }
    }
    add(Token::Kind::kEnd, i_, "");
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse_at(size_t position, std::string_view what) const {
    fail("{}: chat template, line {}: {}", where_,
         1 + std::count(source_.begin(), source_.begin() + static_cast<int64_t>(position), '\n'), what);
  }
  [[noreturn]] void refuse(std::string_view what) const { refuse_at(i_, what); }

  std::string_view rest() const { return std::string_view(source_).substr(i_); }
  bool at(std::string_view text) const { return rest().starts_with(text); }
  char peek(size_t offset = 0) const { return i_ + offset < source_.size() ? source_[i_ + offset] : '\0'; }

  // Positions come in order, so the newlines are counted once.
  void add(Token::Kind kind, size_t position, std::string text) {
    for (; counted_ < position; ++counted_) line_ += source_[counted_] == '\n';
    out_.push_back({kind, line_, std::move(text)});
  }
  void add_data(size_t position, std::string_view text) {
    if (!text.empty()) add(Token::Kind::kData, position, std::string(text));
  }
  void skip_space() {
    while (i_ < source_.size()) {
      size_t next = i_;
      if (!is_space(next_code_point(source_, next))) return;
      i_ = next;
    }
  }

  size_t find_tag() const {
    for (size_t tag = source_.find('{', i_); tag != std::string::npos && tag + 1 < source_.size();
         tag = source_.find('{', tag + 1)) {
      if (const char c = source_[tag + 1]; c == '%' || c == '{' || c == '#') return tag;
    }
    return std::string::npos;
  }

  // The text before a tag, without the blanks that the tag takes away. mark: '-', '+' or another character behind the tag's
  // opening.
  std::string_view before_tag(std::string_view text, char mark, bool is_output) const {
    if (mark == '-') return strip_space(text, false, true);
    if (is_output || mark == '+') return text;
    const size_t line_start = text.rfind('\n') + 1;  // npos + 1 = 0; lstrip_blocks: blanks from the start of the line to the tag
    const bool whole_line = line_start > 0 || at_line_start_;
    return whole_line && strip_space(text.substr(line_start), true, false).empty() ? text.substr(0, line_start) : text;
  }

  void read_tag(size_t tag) {
    const char type = source_[tag + 1];
    const size_t start = i_;
    const std::string_view before = std::string_view(source_).substr(i_, tag - i_);
    i_ = tag + 2;
    const char mark = peek();
    add_data(start, before_tag(before, mark, type == '{'));
    if (mark == '-' || mark == '+') ++i_;
    if (type == '#') {
      const size_t end = source_.find("#}", i_);
      if (end == std::string::npos) refuse("a comment without its end '#}'");
      const char end_mark = end > i_ ? source_[end - 1] : ' ';
      i_ = end + 2;
      close_tag(end_mark, /*trims_newline=*/true);
      return;
    }
    if (type == '%' && read_raw()) return;
    add(type == '{' ? Token::Kind::kVariableBegin : Token::Kind::kBlockBegin, tag, "");
    read_tokens(type == '{', tag);
  }

  // Behind a tag, whose last character before its end was `mark`.
  void close_tag(char mark, bool trims_newline) {
    const size_t start = i_;
    if (mark == '-') {
      skip_space();
    } else if (trims_newline && mark != '+' && peek() == '\n') {
      ++i_;
    }
    at_line_start_ = i_ > start && source_[i_ - 1] == '\n';
  }

  // {% raw %} ... {% endraw %}, behind whose "{%" and mark we are. Returns false, and moves nowhere, where it is another tag.
  bool read_raw() {
    const size_t start = i_;
    if (!skip_words("raw")) return i_ = start, false;
    const bool trims = peek() == '-';
    if (trims) ++i_;
    if (!at("%}")) return i_ = start, false;
    i_ += 2;
    close_tag(trims ? '-' : ' ', /*trims_newline=*/false);
    const size_t text = i_;
    for (size_t tag = source_.find("{%", i_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      i_ = tag + 2;
      const char mark = peek();
      if (mark == '-' || mark == '+') ++i_;
      if (!skip_words("endraw")) continue;
      const char end_mark = peek() == '-' || peek() == '+' ? source_[i_++] : ' ';
      if (!at("%}")) continue;
      i_ += 2;
      const std::string_view inside = std::string_view(source_).substr(text, tag - text);
      add_data(text, before_tag(inside, mark, false));
      close_tag(end_mark, /*trims_newline=*/true);
      return true;
    }
    refuse_at(start, "a raw block without its end '{% endraw %}'");
  }
  bool skip_words(std::string_view word) {
    skip_space();
    if (!at(word)) return false;
    i_ += word.size();
    skip_space();
    return true;
  }

  void read_tokens(bool is_output, size_t tag) {
    const std::string_view end = is_output ? "}}" : "%}";
    std::string open;  // brackets: "}}" inside a dictionary ends no tag
    for (;;) {
      if (open.empty()) {
        const bool marked = (peek() == '-' || (peek() == '+' && !is_output)) && rest().substr(1).starts_with(end);
        if (marked || at(end)) {
          add(is_output ? Token::Kind::kVariableEnd : Token::Kind::kBlockEnd, i_, "");
          const char mark = marked ? source_[i_++] : ' ';
          i_ += end.size();
          close_tag(mark, !is_output);
          return;
        }
      }
      const size_t blanks = i_;
      skip_space();
      if (i_ > blanks) continue;
      if (i_ >= source_.size()) refuse_at(tag, fmt::format("a tag without its end '{}'", end));
      read_token();
      if (out_.back().kind != Token::Kind::kOperator) continue;
      const char c = out_.back().text[0];
      if (c == '(' || c == '[' || c == '{') {
        open += c == '(' ? ')' : c == '[' ? ']' : '}';
      } else if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) refuse(fmt::format("'{}' without its opening bracket", c));
        if (open.back() != c) refuse(fmt::format("'{}' where '{}' is expected", c, open.back()));
        open.pop_back();
      }
    }
  }

  void read_token() {
    const char c = source_[i_];
    const size_t start = i_;
    if (is_digit(c)) return read_number();
    if (c == '\'' || c == '"') {
      std::string value = read_string();
      return add(Token::Kind::kString, start, std::move(value));
    }
    while (i_ < source_.size()) {
      size_t next = i_;
      if (!is_word(next_code_point(source_, next))) break;
      i_ = next;
    }
    if (i_ > start) return add(Token::Kind::kName, start, source_.substr(start, i_ - start));
    constexpr std::array<std::string_view, 26> kOperators = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*",
                                                             "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                                             "]",  "{",  "}",  "|",  ",",  ".",  ":", ";"};
    for (const std::string_view op : kOperators) {
      if (at(op)) {
        i_ += op.size();
        return add(Token::Kind::kOperator, start, std::string(op));
      }
    }
    refuse(fmt::format("unexpected character '{}'", source_.substr(i_, utf8_length(c))));
  }

  // Digits, single '_' between them; without the '_'. Nothing is read where there is no digit.
  template <typename IsDigit>
  std::string digits(const IsDigit& is_one) {
    std::string out;
    while (is_one(peek()) || (peek() == '_' && !out.empty() && is_one(peek(1)))) {
      if (peek() != '_') out += peek();
      ++i_;
    }
    return out;
  }

  void read_number() {
    const size_t start = i_;
    const bool after_dot = start > 0 && source_[start - 1] == '.';  // "x.0.5" has two subscripts
    std::string text = digits(is_digit);
    const size_t whole_end = i_;
    bool is_float = false;
    if (!after_dot && peek() == '.' && is_digit(peek(1))) {
      ++i_;
      text += '.' + digits(is_digit);
      is_float = true;
    }
    if (!after_dot && (peek() == 'e' || peek() == 'E')) {
      const size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
      if (is_digit(peek(1 + sign))) {
        text += source_.substr(i_, 1 + sign);
        i_ += 1 + sign;
        text += digits(is_digit);
        is_float = true;
      }
    }
    if (is_float) return add(Token::Kind::kFloat, start, std::move(text));
    i_ = whole_end;
    if (source_[start] == '0') return read_from_zero(start);
    add(Token::Kind::kInteger, start, std::move(text));
  }

  // 0b…, 0o…, 0x…, or zeros, behind which other digits are a token of their own.
  void read_from_zero(size_t start) {
    i_ = start + 1;
    const char base = static_cast<char>(std::tolower(static_cast<unsigned char>(peek())));
    if (base == 'b' || base == 'o' || base == 'x') {
      ++i_;
      if (peek() == '_') ++i_;
      const std::string text = digits([base](char c) {
        return base == 'x' ? std::isxdigit(static_cast<unsigned char>(c)) != 0 : c >= '0' && c <= (base == 'b' ? '1' : '7');
      });
      if (!text.empty()) return add(Token::Kind::kInteger, start, std::string("0") + base + text);
    }
    i_ = start;
    digits([](char c) { return c == '0'; });
    add(Token::Kind::kInteger, start, "0");
  }

  std::string read_string() {
    const size_t start = i_;
    const char quote = source_[i_++];
    std::string out;
    for (;;) {
      if (i_ >= source_.size()) refuse_at(start, "a string without its end");
      const char c = source_[i_++];
      if (c == quote) return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (i_ >= source_.size()) refuse_at(start, "a string without its end");
      read_escape(out);
    }
  }

  void read_escape(std::string& out) {
    const char e = source_[i_++];
    constexpr std::string_view kNames = "ntrabfv\\'\"", kValues = "\n\t\r\a\b\f\v\\'\"";
    if (const size_t index = kNames.find(e); index != std::string_view::npos) {
      out += kValues[index];
    } else if (e == 'x' || e == 'u' || e == 'U') {
      append_code_point(out, read_hexadecimal(e == 'x' ? 2 : e == 'u' ? 4 : 8));
    } else if (e >= '0' && e <= '7') {
      char32_t value = static_cast<char32_t>(e - '0');
      for (int n = 1; n < 3 && peek() >= '0' && peek() <= '7'; ++n)
        value = value * 8 + static_cast<char32_t>(source_[i_++] - '0');
      append_code_point(out, value);
    } else if (e == 'N') {
      refuse("a character by its name, '\\N{...}', which is not supported; write the character");
    } else if (e != '\n') {  // as in Python, an unknown escape stays as it is
      out += '\\';
      out += e;
    }
  }

  char32_t read_hexadecimal(size_t length) {
    const std::string text = source_.substr(i_, length);
    const bool ok =
        text.size() == length && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
    const unsigned long value = ok ? std::stoul(text, nullptr, 16) : 0x110000;
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) refuse("an invalid code point in a string");
    i_ += length;
    return static_cast<char32_t>(value);
  }

  std::string source_;
  const std::string& where_;
  size_t i_ = 0;
  bool at_line_start_ = true;
  size_t counted_ = 0;  // bytes whose newlines are in line_
  int line_ = 1;
  std::vector<Token> out_;
};

}  // namespace

std::vector<Token> lex(std::string_view source, const std::string& where) { return Lexer(source, where).run(); }

}  // namespace lockstep::text::jinja
