// Parses the expressions of a template, as jinja2's parser does.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/syntax.h"

namespace lockstep::text::jinja {

inline constexpr int kMaxHeight = 500;  // levels of an expression

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, Program& program);

  ExprPtr expression(bool with_condition = true);
  // Several expressions with commas between them are a tuple. allow_empty: () is one, too.
  ExprPtr tuple(bool with_condition = true, bool allow_empty = false, std::string_view end_word = "");
  Target target(bool with_attributes, std::string_view end_word = "");
  // Behind the value that is filtered, which may be null: its filters. starts_inline: the first has no '|'.
  ExprPtr filters(ExprPtr value, bool starts_inline);
  std::vector<Parameter> parameters();

  const Token& current() const { return tokens_[i_]; }
  const Token& next() const { return tokens_[i_ + 1 < tokens_.size() ? i_ + 1 : i_]; }
  void advance() {
    if (i_ + 1 < tokens_.size()) ++i_;
  }
  bool at(Token::Kind kind) const { return current().kind == kind; }
  bool at_word(std::string_view word) const { return at(Token::Kind::kName) && current().text == word; }
  bool at_operator(std::string_view op) const { return at(Token::Kind::kOperator) && current().text == op; }
  bool skip_word(std::string_view word);
  bool skip_operator(std::string_view op);
  void expect_word(std::string_view word);
  void expect_operator(std::string_view op);
  void expect(Token::Kind kind, std::string_view what);
  std::string name();
  int id_of(const std::string& name);
  [[noreturn]] void refuse(std::string_view what) const;
  [[noreturn]] void refuse_at(int line, std::string_view what) const;
  std::string describe() const;  // the current token

  // Filters and tests in an `if` or a condition may be unknown as long as they are not reached. Elsewhere check_known refuses
  // them.
  bool is_soft = false;
  void check_known() const;

 private:
  struct Depth;
  struct Unknown {
    int line = 0;
    std::string what;
  };
  ExprPtr make(Expr::Kind kind, int line) const;
  template <typename... Args>
  ExprPtr make(Expr::Kind kind, int line, Args... args) const;
  void raise(Expr& parent, const Expr* child) const;
  void adopt(Expr& parent, ExprPtr child) const;
  ExprPtr constant(const Value& value, int line) const;
  ExprPtr text_constant(std::string text, int line) const;

  ExprPtr condition();
  // What joins two operands: a node of this kind.
  struct Joint {
    Expr::Kind kind;
    Operator op;
  };
  template <typename Operand, typename Link>
  ExprPtr chain(Operand operand, Link link);
  std::optional<Joint> skip_any(std::span<const std::pair<std::string_view, Operator>> signs);

  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter = true);
  ExprPtr primary();
  ExprPtr number();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr e);
  ExprPtr filters_and_tests(ExprPtr e);
  ExprPtr subscript(ExprPtr e);
  ExprPtr call(ExprPtr e);
  ExprPtr test(ExprPtr e);
  void arguments(Expr& call);
  std::string dotted_name();
  Target primary_target(bool with_attributes);
  Target tuple_target(bool with_attributes, std::string_view end_word, bool in_parentheses);

  std::vector<Token> tokens_;
  Program& program_;
  std::map<std::string, int, std::less<>> ids_;
  std::vector<Unknown> unknown_;
  size_t i_ = 0;
  int depth_ = 0;
};

}  // namespace lockstep::text::jinja
