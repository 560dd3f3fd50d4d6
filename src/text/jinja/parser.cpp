#include <initializer_list>

#include "base/error.h"
#include "text/jinja/expression_parser.h"
#include "text/jinja/mentions.h"
#include "text/jinja/syntax.h"

namespace lockstep::text::jinja {

namespace {

constexpr int kMaxDepth = 100;  // of statements in each other

class Parser {
 public:
  Parser(std::string_view source, Program& program) : p_(lex(source, program.where), program) {}

  std::vector<Node> run() {
    std::vector<Node> nodes = statements({});
    p_.check_known();
    return nodes;
  }

 private:
  // Where we are, restored at the end of a block of statements.
  struct Place {
    bool is_soft = false;  // directly in an `if`
    bool in_loop = false;  // where break and continue lead somewhere
    bool in_macro = false;
  };
  // Parses with another place.
  std::vector<Node> block(Place inside, std::initializer_list<std::string_view> ends) {
    const Place outside = std::exchange(place_, inside);
    const bool was_soft = std::exchange(p_.is_soft, inside.is_soft);
    p_.skip_operator(":");
    p_.expect(Token::Kind::kBlockEnd, "'%}'");
    std::vector<Node> nodes = statements(ends);
    place_ = outside;
    p_.is_soft = was_soft;
    return nodes;
  }
  std::vector<Node> body(Place inside, std::string_view end) {
    std::vector<Node> nodes = block(inside, {end});
    p_.advance();
    return nodes;
  }
  Place in_same_function() const { return {false, place_.in_loop}; }

  // The nodes up to a statement that begins with one of `ends`, at whose name we stop; up to the end where there are none.
  std::vector<Node> statements(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kMaxDepth) p_.refuse(fmt::format("statements are nested deeper than {} levels", kMaxDepth));
    std::vector<Node> nodes;
    for (;;) {
      const Token& token = p_.current();
      if (token.kind == Token::Kind::kEnd) {
        if (ends.size() > 0) p_.refuse(fmt::format("the template ends where '{}' is missing", *std::prev(ends.end())));
        break;
      }
      if (token.kind == Token::Kind::kData) {
        nodes.push_back(make(Node::Kind::kText));
        nodes.back().text = token.text;
        p_.advance();
      } else if (token.kind == Token::Kind::kVariableBegin) {
        nodes.push_back(make(Node::Kind::kOutput));
        p_.advance();
        nodes.back().values.push_back(p_.tuple());
        p_.expect(Token::Kind::kVariableEnd, "'}}'");
      } else {
        p_.expect(Token::Kind::kBlockBegin, "'{%'");
        bool is_end = false;
        for (const std::string_view end : ends) is_end = is_end || p_.at_word(end);
        if (is_end) break;
        nodes.push_back(statement());
        p_.expect(Token::Kind::kBlockEnd, "'%}'");
      }
    }
    --depth_;
    return nodes;
  }

  Node make(Node::Kind kind) const {
    Node n;
    n.kind = kind;
    n.line = p_.current().line;
    return n;
  }

  Node statement() {
    if (!p_.at(Token::Kind::kName)) p_.refuse(fmt::format("expected the name of a statement, got {}", p_.describe()));
    if (p_.at_word("for")) return for_statement();
    if (p_.at_word("if")) return if_statement();
    if (p_.at_word("set")) return set_statement();
    if (p_.at_word("macro")) return macro_statement();
    if (p_.at_word("call")) return call_statement();
    if (p_.at_word("filter")) return filter_statement();
    if (p_.at_word("with")) return with_statement();
    if (p_.at_word("print")) return print_statement();
    if (p_.at_word("break") || p_.at_word("continue")) {
      Node n = make(p_.at_word("break") ? Node::Kind::kBreak : Node::Kind::kContinue);
      if (!place_.in_loop) p_.refuse(fmt::format("'{}' outside of a loop", p_.current().text));
      p_.advance();
      return n;
    }
    if (p_.at_word("generation")) {  // marks the assistant's part for training; changes no text
      Node n = make(Node::Kind::kScope);
      p_.advance();
      n.body = body({}, "endgeneration");
      return n;
    }
    p_.refuse(fmt::format(
        "the statement '{}' is not supported; supported are: for, if, set, macro, call, filter, with, print, raw, break, "
        "continue, generation",
        p_.current().text));
  }

  Node for_statement() {
    Node n = make(Node::Kind::kFor);
    p_.advance();
    n.targets.push_back(p_.target(/*with_attributes=*/false, "in"));
    p_.expect_word("in");
    n.expr = p_.tuple(/*with_condition=*/false, false, "recursive");
    if (p_.skip_word("if")) {
      const bool was_soft = std::exchange(p_.is_soft, false);
      n.filter = p_.expression();
      p_.is_soft = was_soft;
    }
    n.is_recursive = p_.skip_word("recursive");
    n.body = block({.in_loop = true}, {"endfor", "else"});
    if (p_.at_word("else")) {
      p_.advance();
      n.otherwise = body({.in_loop = !n.is_recursive && place_.in_loop}, "endfor");
    } else {
      p_.advance();
    }
    if (assigns(n, kLoopName)) p_.refuse_at(n.line, "a loop assigns to its variable 'loop'");
    return n;
  }

  Node if_statement() {
    Node n = make(Node::Kind::kIf);
    const Place inside = {.is_soft = true, .in_loop = place_.in_loop};
    for (;;) {
      const bool was_soft = std::exchange(p_.is_soft, true);
      p_.advance();
      ExprPtr condition = p_.tuple(/*with_condition=*/false);
      p_.is_soft = was_soft;
      std::vector<Node> then = block(inside, {"elif", "else", "endif"});
      n.branches.emplace_back(std::move(condition), std::move(then));
      if (p_.at_word("elif")) continue;
      const bool has_else = p_.at_word("else");
      p_.advance();
      if (has_else) n.branches.emplace_back(nullptr, body(inside, "endif"));
      return n;
    }
  }

  Node set_statement() {
    Node n = make(Node::Kind::kSet);
    p_.advance();
    n.targets.push_back(p_.target(/*with_attributes=*/true));
    if (p_.skip_operator("=")) {
      n.expr = p_.tuple();
      return n;
    }
    n.kind = Node::Kind::kSetBlock;
    const bool was_soft = std::exchange(p_.is_soft, false);
    n.expr = p_.filters(nullptr, false);
    p_.is_soft = was_soft;
    n.body = body(in_same_function(), "endset");
    return n;
  }

  void read_macro(Node& n, std::string_view end) {
    n.body = body({}, end);
    const Mentions mentions = find_mentions(n.body);
    const auto declares = [&](int id) {
      for (const Parameter& parameter : n.parameters) {
        if (parameter.id == id) return true;
      }
      return false;
    };
    for (const Parameter& parameter : n.parameters) {
      if (parameter.id == kCallerName && mentions.caller && parameter.fallback == nullptr) {
        p_.refuse_at(n.line, "the parameter 'caller' of a macro needs a default");
      }
    }
    n.takes_caller = mentions.caller && !declares(kCallerName);
    n.takes_kwargs = mentions.kwargs && !declares(kKwargsName);
    n.takes_varargs = mentions.varargs && !declares(kVarargsName);
  }

  Node macro_statement() {
    Node n = make(Node::Kind::kMacro);
    p_.advance();
    n.text = p_.name();
    Target target;
    target.name = n.text;
    target.id = p_.id_of(n.text);
    n.targets.push_back(std::move(target));
    n.parameters = hard_parameters();
    read_macro(n, "endmacro");
    return n;
  }
  std::vector<Parameter> hard_parameters() {
    const bool was_soft = std::exchange(p_.is_soft, false);
    std::vector<Parameter> parameters = p_.parameters();
    p_.is_soft = was_soft;
    return parameters;
  }

  Node call_statement() {
    Node n = make(Node::Kind::kCallBlock);
    p_.advance();
    if (p_.at_operator("(")) n.parameters = hard_parameters();
    n.expr = p_.expression();
    if (n.expr->kind != Expr::Kind::kCall) p_.refuse("expected the call of a macro");
    read_macro(n, "endcall");
    return n;
  }

  Node filter_statement() {
    Node n = make(Node::Kind::kFilterBlock);
    p_.advance();
    const bool was_soft = std::exchange(p_.is_soft, false);
    n.expr = p_.filters(nullptr, true);
    p_.is_soft = was_soft;
    n.body = body(in_same_function(), "endfilter");
    return n;
  }

  Node with_statement() {
    Node n = make(Node::Kind::kWith);
    p_.advance();
    while (!p_.at(Token::Kind::kBlockEnd)) {
      if (!n.targets.empty()) p_.expect_operator(",");
      n.targets.push_back(p_.target(/*with_attributes=*/false));
      p_.expect_operator("=");
      n.values.push_back(p_.expression());
    }
    n.body = body(in_same_function(), "endwith");
    return n;
  }

  Node print_statement() {
    Node n = make(Node::Kind::kOutput);
    p_.advance();
    while (!p_.at(Token::Kind::kBlockEnd)) {
      if (!n.values.empty()) p_.expect_operator(",");
      n.values.push_back(p_.expression());
    }
    return n;
  }

  ExpressionParser p_;
  Place place_;
  int depth_ = 0;
};

}  // namespace

std::unique_ptr<const Program> parse(std::string_view source, std::string where) {
  auto program = std::make_unique<Program>();
  program->where = std::move(where);
  program->nodes = Parser(source, *program).run();
  return program;
}

}  // namespace lockstep::text::jinja
