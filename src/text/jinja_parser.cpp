#include <algorithm>
#include <initializer_list>

#include "base/error.h"
#include "text/jinja_lexer.h"
#include "text/jinja_syntax.h"

namespace lockstep::text::jinja {

namespace {

constexpr int kMaxDepth = 100;   // of nested statements, and of nested expressions
constexpr int kMaxHeight = 400;  // of an expression's tree, to which chains such as 1 + 1 + 1 add a level each

// Recursive descent, one function a level of precedence, as in Jinja's own parser.
class ExpressionParser {
 public:
  ExpressionParser(const Segment& tag, const std::string& where) : tokens_(tag.tokens), line_(tag.line), where_(where) {}

  [[noreturn]] void refuse(std::string_view what) const { fail("{}: chat template, line {}: {}", where_, line_, what); }
  bool at_end() const { return current().kind == Token::Kind::kEnd; }
  bool at(std::string_view text) const {
    return (current().kind == Token::Kind::kOperator || current().kind == Token::Kind::kName) && current().text == text;
  }
  bool skip(std::string_view text) {
    if (!at(text)) return false;
    ++i_;
    return true;
  }
  void expect(std::string_view text) {
    if (!skip(text)) refuse(fmt::format("expected '{}', got '{}'", text, current().text));
  }
  void expect_end() const {
    if (!at_end()) refuse(fmt::format("unexpected '{}'", current().text));
  }
  std::string name() {
    if (current().kind != Token::Kind::kName) refuse(fmt::format("expected a name, got '{}'", current().text));
    return tokens_[i_++].text;
  }

  // A comma behind it makes it a list, where that is wanted.
  ExprPtr expression(bool with_condition = true) {
    const Depth depth(*this);
    ExprPtr value = logical_or();
    while (with_condition && skip("if")) {
      ExprPtr condition = logical_or();
      ExprPtr otherwise = skip("else") ? expression() : nullptr;
      value = make(Expr::Kind::kCondition, "", std::move(value), std::move(condition), std::move(otherwise));
    }
    return value;
  }

 private:
  struct Depth {
    explicit Depth(ExpressionParser& p) : parser(p) {
      if (++parser.depth_ > kMaxDepth) parser.refuse("an expression is nested too deep");
    }
    ~Depth() { --parser.depth_; }
    ExpressionParser& parser;
  };

  const Token& current() const { return tokens_[i_]; }

  template <typename... Args>
  ExprPtr make(Expr::Kind kind, std::string name, Args... args) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->line = line_;
    e->name = std::move(name);
    (adopt(*e, std::move(args)), ...);
    return e;
  }
  void raise(Expr& parent, const ExprPtr& child) const {
    if (child != nullptr) parent.height = std::max(parent.height, child->height + 1);
    if (parent.height > kMaxHeight) refuse(fmt::format("an expression has more than {} levels", kMaxHeight));
  }
  void adopt(Expr& parent, ExprPtr child) const {
    raise(parent, child);
    parent.args.push_back(std::move(child));
  }
  ExprPtr literal(JinjaValue value) const {
    ExprPtr e = make(Expr::Kind::kLiteral, "");
    e->value = std::move(value);
    return e;
  }

  template <typename Next>
  ExprPtr left_associative(std::initializer_list<std::string_view> operators, Next next) {
    ExprPtr left = (this->*next)();
    for (;;) {
      const auto* op = std::find_if(operators.begin(), operators.end(), [&](std::string_view o) { return at(o); });
      if (op == operators.end()) return left;
      ++i_;
      ExprPtr right = (this->*next)();
      left = make(Expr::Kind::kBinary, std::string(*op), std::move(left), std::move(right));
    }
  }

  ExprPtr logical_or() { return left_associative({"or"}, &ExpressionParser::logical_and); }
  ExprPtr logical_and() { return left_associative({"and"}, &ExpressionParser::logical_not); }
  ExprPtr logical_not() {
    if (!skip("not")) return comparison();
    const Depth depth(*this);
    return make(Expr::Kind::kUnary, "not", logical_not());
  }
  ExprPtr comparison() {
    ExprPtr left = sum();
    for (int count = 0;; ++count) {
      std::string op;
      for (const std::string_view o : {"==", "!=", "<=", ">=", "<", ">", "in"}) {
        if (op.empty() && skip(o)) op = o;
      }
      if (op.empty() && at("not") && tokens_[i_ + 1].text == "in") {
        i_ += 2;
        op = "not in";
      }
      if (op.empty()) return left;
      if (count > 0) refuse("a chain of comparisons is not supported");
      ExprPtr right = sum();
      left = make(Expr::Kind::kBinary, op, std::move(left), std::move(right));
    }
  }
  ExprPtr sum() { return left_associative({"+", "-"}, &ExpressionParser::concatenation); }
  ExprPtr concatenation() { return left_associative({"~"}, &ExpressionParser::product); }
  ExprPtr product() { return left_associative({"*", "//", "/", "%"}, &ExpressionParser::unary_with_filter); }
  ExprPtr unary_with_filter() { return unary(true); }
  ExprPtr unary(bool with_filter) {
    const Depth depth(*this);
    ExprPtr e;
    if (at("-") || at("+")) {
      const std::string op = tokens_[i_++].text;
      e = make(Expr::Kind::kUnary, op, unary(false));
    } else {
      e = primary();
    }
    e = postfix(std::move(e));
    if (at("**")) refuse("'**' is not supported");
    return with_filter ? filters_and_tests(std::move(e)) : std::move(e);
  }

  ExprPtr primary() {
    const Token& t = current();
    switch (t.kind) {
      case Token::Kind::kString: {
        std::string text;
        while (current().kind == Token::Kind::kString) text += tokens_[i_++].text;
        return literal(std::move(text));
      }
      case Token::Kind::kInteger: return literal(int64_t{std::stoll(tokens_[i_++].text)});
      case Token::Kind::kFloat: return literal(std::stod(tokens_[i_++].text));
      case Token::Kind::kName: {
        const std::string word = tokens_[i_++].text;
        if (word == "true" || word == "True") return literal(true);
        if (word == "false" || word == "False") return literal(false);
        if (word == "none" || word == "None") return literal(nullptr);
        return make(Expr::Kind::kName, word);
      }
      case Token::Kind::kOperator:
        if (skip("(")) return parenthesis();
        if (skip("[")) {
          ExprPtr list = make(Expr::Kind::kList, "");
          elements(*list, "]");
          return list;
        }
        if (skip("{")) return dictionary();
        break;
      case Token::Kind::kEnd: break;
    }
    refuse(fmt::format("expected an expression, got '{}'", t.text));
  }

  ExprPtr parenthesis() {
    ExprPtr list = make(Expr::Kind::kList, "");
    if (skip(")")) return list;
    ExprPtr first = expression();
    if (skip(")")) return first;
    expect(",");
    adopt(*list, std::move(first));
    elements(*list, ")");
    return list;
  }
  void elements(Expr& list, std::string_view end) {
    while (!skip(end)) {
      adopt(list, expression());
      if (!at(end)) expect(",");
    }
  }
  ExprPtr dictionary() {
    ExprPtr dict = make(Expr::Kind::kDict, "");
    while (!skip("}")) {
      adopt(*dict, expression());
      expect(":");
      adopt(*dict, expression());
      if (!at("}")) expect(",");
    }
    return dict;
  }

  ExprPtr postfix(ExprPtr e) {
    for (int count = 0;; ++count) {
      if (count > kMaxDepth) refuse("an expression is nested too deep");
      if (skip(".")) {
        if (current().kind == Token::Kind::kInteger) {
          e = make(Expr::Kind::kIndex, "", std::move(e), literal(int64_t{std::stoll(tokens_[i_++].text)}));
        } else {
          e = make(Expr::Kind::kAttribute, name(), std::move(e));
        }
      } else if (skip("[")) {
        e = subscript(std::move(e));
      } else if (at("(")) {
        e = make(Expr::Kind::kCall, "", std::move(e));
        arguments(*e);
      } else {
        return e;
      }
    }
  }
  ExprPtr subscript(ExprPtr e) {
    ExprPtr bounds[3];
    int colons = 0;
    while (!at("]")) {
      if (skip(":")) {
        if (++colons > 2) refuse("a slice with more than two colons");
      } else if (bounds[colons] == nullptr) {
        bounds[colons] = expression();
      } else {
        refuse(fmt::format("expected ']', got '{}'", current().text));
      }
    }
    expect("]");
    if (colons > 0)
      return make(Expr::Kind::kSlice, "", std::move(e), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2]));
    if (bounds[0] == nullptr) refuse("an empty subscript");
    return make(Expr::Kind::kIndex, "", std::move(e), std::move(bounds[0]));
  }
  void arguments(Expr& call) {
    expect("(");
    while (!skip(")")) {
      if (at("*") || at("**")) refuse("'*' before an argument is not supported");
      if (current().kind == Token::Kind::kName && tokens_[i_ + 1].kind == Token::Kind::kOperator && tokens_[i_ + 1].text == "=") {
        std::string keyword = name();
        ++i_;
        call.keywords.emplace_back(std::move(keyword), expression());
        raise(call, call.keywords.back().second);
      } else {
        adopt(call, expression());
      }
      if (!at(")")) expect(",");
    }
  }

  ExprPtr filters_and_tests(ExprPtr e) {
    for (int count = 0;; ++count) {
      if (count > kMaxDepth) refuse("an expression is nested too deep");
      if (skip("|")) {
        e = make(Expr::Kind::kFilter, name(), std::move(e));
        if (at("(")) arguments(*e);
      } else if (skip("is")) {
        const bool negated = skip("not");
        e = make(Expr::Kind::kTest, name(), std::move(e));
        if (at("(")) {
          arguments(*e);
        } else if (takes_bare_argument()) {
          adopt(*e, postfix(primary()));
        }
        if (negated) e = make(Expr::Kind::kUnary, "not", std::move(e));
      } else {
        return e;
      }
    }
  }
  // "x is divisibleby 3"
  bool takes_bare_argument() const {
    if (current().kind == Token::Kind::kName) {
      return !at("else") && !at("or") && !at("and") && !at("is") && !at("if") && !at("not") && !at("in");
    }
    return current().kind != Token::Kind::kEnd && (current().kind != Token::Kind::kOperator || at("[") || at("{"));
  }

  const std::vector<Token>& tokens_;
  int line_;
  const std::string& where_;
  size_t i_ = 0;
  int depth_ = 0;
};

class TemplateParser {
 public:
  TemplateParser(std::vector<Segment> segments, const std::string& where) : segments_(std::move(segments)), where_(where) {}

  std::vector<Node> run() {
    std::vector<Node> nodes = block({});
    return nodes;
  }

 private:
  // The nodes up to a statement that begins with one of `ends`, which is left to be read; up to the end where there are none.
  std::vector<Node> block(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kMaxDepth) fail("{}: chat template: statements are nested more than {} deep", where_, kMaxDepth);
    std::vector<Node> nodes;
    for (; i_ < segments_.size(); ++i_) {
      const Segment& s = segments_[i_];
      if (s.kind == Segment::Kind::kText) {
        nodes.push_back(make(Node::Kind::kText, s));
        nodes.back().text = s.text;
      } else if (s.kind == Segment::Kind::kOutput) {
        ExpressionParser p(s, where_);
        nodes.push_back(make(Node::Kind::kOutput, s));
        nodes.back().expr = p.expression();
        p.expect_end();
      } else {
        if (std::find(ends.begin(), ends.end(), s.tokens[0].text) != ends.end()) break;
        nodes.push_back(statement());
      }
    }
    if (ends.size() > 0 && i_ == segments_.size())
      fail("{}: chat template: '{}' is missing at the end", where_, *std::prev(ends.end()));
    --depth_;
    return nodes;
  }

  static Node make(Node::Kind kind, const Segment& s) {
    Node n;
    n.kind = kind;
    n.line = s.line;
    return n;
  }
  std::string_view keyword() const { return segments_[i_].tokens[0].text; }

  // At a statement; leaves i_ at its last tag.
  Node statement() {
    const Segment& s = segments_[i_];
    ExpressionParser p(s, where_);
    const std::string word = p.at_end() ? "" : p.name();
    if (word == "for") return for_statement(s, p);
    if (word == "if") return if_statement(s, p);
    if (word == "set") return set_statement(s, p);
    if (word == "break" || word == "continue") {
      p.expect_end();
      return make(word == "break" ? Node::Kind::kBreak : Node::Kind::kContinue, s);
    }
    if (word == "generation") {  // marks the assistant's part for training; changes no text
      p.expect_end();
      Node n = make(Node::Kind::kBlock, s);
      ++i_;
      n.body = block({"endgeneration"});
      return n;
    }
    p.refuse(fmt::format("the statement '{}' is not supported; supported are: for, if, set, break, continue, generation", word));
  }

  Node for_statement(const Segment& s, ExpressionParser& p) {
    Node n = make(Node::Kind::kFor, s);
    do n.targets.push_back(p.name());
    while (p.skip(","));
    p.expect("in");
    n.expr = p.expression(/*with_condition=*/false);
    if (p.skip("if")) n.filter = p.expression();
    p.expect_end();
    ++i_;
    n.body = block({"else", "endfor"});
    if (keyword() == "else") {
      ++i_;
      n.otherwise = block({"endfor"});
    }
    return n;
  }

  Node if_statement(const Segment& s, ExpressionParser& p) {
    Node n = make(Node::Kind::kIf, s);
    ExprPtr condition = p.expression();
    p.expect_end();
    for (;;) {
      ++i_;
      const bool is_else = condition == nullptr;
      std::vector<Node> body = is_else ? block({"endif"}) : block({"elif", "else", "endif"});
      n.branches.emplace_back(std::move(condition), std::move(body));
      if (keyword() == "endif") return n;
      ExpressionParser next(segments_[i_], where_);
      if (next.name() == "elif") condition = next.expression();
      next.expect_end();
    }
  }

  Node set_statement(const Segment& s, ExpressionParser& p) {
    Node n = make(Node::Kind::kSet, s);
    n.targets.push_back(p.name());
    if (p.skip(".")) n.targets.push_back(p.name());
    if (p.at_end()) {
      n.kind = Node::Kind::kSetBlock;
      ++i_;
      n.body = block({"endset"});
      return n;
    }
    p.expect("=");
    n.expr = p.expression();
    p.expect_end();
    return n;
  }

  std::vector<Segment> segments_;
  const std::string& where_;
  size_t i_ = 0;
  int depth_ = 0;
};

}  // namespace

std::vector<Node> parse(std::string_view source, const std::string& where) {
  return TemplateParser(lex(source, where), where).run();
}

}  // namespace lockstep::text::jinja
