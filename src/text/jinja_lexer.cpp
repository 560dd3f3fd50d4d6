#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }

// Line ends become \n, and one at the very end is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string out;
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

  std::vector<Segment> run() {
    while (i_ < source_.size()) {
      const size_t tag = find_tag();
      if (tag == std::string::npos) {
        add_text(std::string_view(source_).substr(i_));
        break;
      }
      read_tag(tag);
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const { fail("{}: chat template, line {}: {}", where_, line_at(i_), what); }
  // Positions are asked for in order, so the newlines are counted once.
  int line_at(size_t position) const {
    for (; counted_ < position; ++counted_) line_ += source_[counted_] == '\n';
    return line_;
  }
  size_t find_tag() const {
    for (size_t at = source_.find('{', i_); at != std::string::npos && at + 1 < source_.size(); at = source_.find('{', at + 1)) {
      if (const char c = source_[at + 1]; c == '%' || c == '{' || c == '#') return at;
    }
    return std::string::npos;
  }
  void add_text(std::string_view text) {
    if (!text.empty()) out_.push_back({Segment::Kind::kText, 0, std::string(text), {}});
  }

  void read_tag(size_t tag) {
    const char type = source_[tag + 1];
    std::string_view before = std::string_view(source_).substr(i_, tag - i_);
    size_t inside = tag + 2;
    const char mark = inside < source_.size() ? source_[inside] : ' ';
    if (mark == '-') {
      while (!before.empty() && is_blank(before.back())) before.remove_suffix(1);
    } else if (type != '{' && mark != '+') {             // lstrip_blocks: blanks from the start of the line to the tag
      const size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0
      const bool whole_line = line_start > 0 || at_line_start_;
      const std::string_view indent = before.substr(line_start);
      if (whole_line && std::all_of(indent.begin(), indent.end(), is_blank)) before.remove_suffix(indent.size());
    }
    add_text(before);
    if (mark == '-' || mark == '+') ++inside;
    i_ = inside;
    const int line = line_at(tag);
    if (type == '#') {
      const size_t end = source_.find("#}", i_);
      if (end == std::string::npos) refuse("a comment without end");
      i_ = end + 2;
      close_tag(end > inside ? source_[end - 1] : ' ', /*trims_newline=*/true);
      return;
    }
    const bool is_output = type == '{';
    char end_mark = ' ';
    Segment segment{is_output ? Segment::Kind::kOutput : Segment::Kind::kStatement, line, "",
                    read_tokens(is_output ? "}}" : "%}", end_mark)};
    close_tag(end_mark, !is_output);
    out_.push_back(std::move(segment));
  }

  // Behind a tag, whose last character before its end was `mark`.
  void close_tag(char mark, bool trims_newline) {
    const size_t start = i_;
    if (mark == '-') {
      while (i_ < source_.size() && is_blank(source_[i_])) ++i_;
    } else if (trims_newline && mark != '+' && i_ < source_.size() && source_[i_] == '\n') {
      ++i_;
    }
    at_line_start_ = i_ > start && source_[i_ - 1] == '\n';
  }

  std::vector<Token> read_tokens(std::string_view end, char& end_mark) {
    std::vector<Token> tokens;
    int depth = 0;  // open brackets: "}}" inside a dictionary ends no tag
    const auto rest = [&] { return std::string_view(source_).substr(i_); };
    for (;;) {
      while (i_ < source_.size() && is_blank(source_[i_])) ++i_;
      if (i_ >= source_.size()) refuse(fmt::format("a tag without its end '{}'", end));
      if (depth == 0) {
        const bool marked = (source_[i_] == '-' || (source_[i_] == '+' && end == "%}")) && rest().substr(1).starts_with(end);
        if (marked || rest().starts_with(end)) {
          if (marked) end_mark = source_[i_++];
          i_ += end.size();
          tokens.push_back({Token::Kind::kEnd, ""});
          return tokens;
        }
      }
      tokens.push_back(read_token());
      const std::string& text = tokens.back().text;
      if (tokens.back().kind != Token::Kind::kOperator) continue;
      if (text == "(" || text == "[" || text == "{") ++depth;
      if (text == ")" || text == "]" || text == "}") --depth;
      if (depth < 0) refuse(fmt::format("'{}' without its opening bracket", text));
    }
  }

  Token read_token() {
    const char c = source_[i_];
    const size_t start = i_;
    if (is_name_start(c)) {
      while (i_ < source_.size() && (is_name_start(source_[i_]) || is_digit(source_[i_]))) ++i_;
      return {Token::Kind::kName, source_.substr(start, i_ - start)};
    }
    if (is_digit(c)) {
      while (i_ < source_.size() && is_digit(source_[i_])) ++i_;
      const bool is_float = i_ + 1 < source_.size() && source_[i_] == '.' && is_digit(source_[i_ + 1]);
      if (is_float) {
        ++i_;
        while (i_ < source_.size() && is_digit(source_[i_])) ++i_;
      }
      if (i_ - start > 18) refuse("a number with more than 18 digits");
      return {is_float ? Token::Kind::kFloat : Token::Kind::kInteger, source_.substr(start, i_ - start)};
    }
    if (c == '\'' || c == '"') return {Token::Kind::kString, read_string()};
    constexpr std::array<std::string_view, 25> kOperators = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*",
                                                             "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                                             "]",  "{",  "}",  "|",  ",",  ".",  ":"};
    for (const std::string_view op : kOperators) {
      if (std::string_view(source_).substr(i_).starts_with(op)) {
        i_ += op.size();
        return {Token::Kind::kOperator, std::string(op)};
      }
    }
    refuse(fmt::format("unexpected character '{}'", source_.substr(i_, utf8_length(c))));
  }

  std::string read_string() {
    const char quote = source_[i_++];
    std::string out;
    for (;;) {
      if (i_ >= source_.size()) refuse("a string without end");
      const char c = source_[i_++];
      if (c == quote) return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (i_ >= source_.size()) refuse("a string without end");
      const char e = source_[i_++];
      constexpr std::string_view kNames = "ntrabfv\\'\"", kValues = "\n\t\r\a\b\f\v\\'\"";
      if (const size_t at = kNames.find(e); at != std::string_view::npos) {
        out += kValues[at];
      } else if (e == 'x' || e == 'u' || e == 'U') {
        append_code_point(out, read_hexadecimal(e == 'x' ? 2 : e == 'u' ? 4 : 8));
      } else if (e >= '0' && e <= '7') {
        refuse("an octal escape in a string, which is not supported");
      } else if (e != '\n') {  // as in Python, an unknown escape stays as it is
        out += '\\';
        out += e;
      }
    }
  }

  char32_t read_hexadecimal(size_t digits) {
    const std::string text = source_.substr(i_, digits);
    const bool ok =
        text.size() == digits && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c); });
    const unsigned long value = ok ? std::stoul(text, nullptr, 16) : 0x110000;
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) refuse("an invalid code point in a string");
    i_ += digits;
    return static_cast<char32_t>(value);
  }

  std::string source_;
  const std::string& where_;
  size_t i_ = 0;
  bool at_line_start_ = true;
  mutable size_t counted_ = 0;  // bytes whose newlines are in line_
  mutable int line_ = 1;
  std::vector<Segment> out_;
};

}  // namespace

std::vector<Segment> lex(std::string_view source, const std::string& where) { return Lexer(source, where).run(); }

}  // namespace lockstep::text::jinja
