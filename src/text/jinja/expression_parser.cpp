#include "text/jinja/expression_parser.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "text/jinja/attributes.h"
#include "text/jinja/filters.h"
#include "text/jinja/tests.h"

namespace lockstep::text::jinja {

namespace {

constexpr int kMaxDepth = 150;  // of brackets and operators in each other

}  // namespace

struct ExpressionParser::Depth {
  explicit Depth(ExpressionParser& p) : parser(p) {
    if (++parser.depth_ > kMaxDepth) parser.refuse(fmt::format("an expression is nested deeper than {} levels", kMaxDepth));
  }
  ~Depth() { --parser.depth_; }
  ExpressionParser& parser;
};

ExpressionParser::ExpressionParser(std::vector<Token> tokens, Program& program) : tokens_(std::move(tokens)), program_(program) {
  for (const char* own : {"loop", "caller", "kwargs", "varargs"}) id_of(own);
}

int ExpressionParser::id_of(const std::string& name) {
  const auto [it, is_new] = ids_.emplace(name, static_cast<int>(program_.names.size()));
  if (is_new) program_.names.push_back(name);
  return it->second;
}

void ExpressionParser::refuse_at(int line, std::string_view what) const {
  fail("{}: chat template, line {}: {}", program_.where, line, what);
}
void ExpressionParser::check_known() const {
  if (!unknown_.empty()) refuse_at(unknown_[0].line, unknown_[0].what);
}
void ExpressionParser::refuse(std::string_view what) const { refuse_at(current().line, what); }

std::string ExpressionParser::describe() const {
  switch (current().kind) {
    case Token::Kind::kData: return "text";
    case Token::Kind::kVariableBegin: return "'{{'";
    case Token::Kind::kVariableEnd: return "'}}'";
    case Token::Kind::kBlockBegin: return "'{%'";
    case Token::Kind::kBlockEnd: return "'%}'";
    case Token::Kind::kString: return "a string";
    case Token::Kind::kEnd: return "the end of the template";
    default: return "'" + current().text + "'";
  }
}

bool ExpressionParser::skip_word(std::string_view word) { return at_word(word) ? (advance(), true) : false; }
bool ExpressionParser::skip_operator(std::string_view op) { return at_operator(op) ? (advance(), true) : false; }
void ExpressionParser::expect_word(std::string_view word) {
  if (!skip_word(word)) refuse(fmt::format("expected '{}', got {}", word, describe()));
}
void ExpressionParser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) refuse(fmt::format("expected '{}', got {}", op, describe()));
}
void ExpressionParser::expect(Token::Kind kind, std::string_view what) {
  if (!at(kind)) refuse(fmt::format("expected {}, got {}", what, describe()));
  advance();
}
std::string ExpressionParser::name() {
  if (!at(Token::Kind::kName)) refuse(fmt::format("expected a name, got {}", describe()));
  std::string text = current().text;
  advance();
  return text;
}

ExprPtr ExpressionParser::make(Expr::Kind kind, int line) const {
  auto e = std::make_unique<Expr>();
  e->kind = kind;
  e->line = line;
  return e;
}
template <typename... Args>
ExprPtr ExpressionParser::make(Expr::Kind kind, int line, Args... args) const {
  ExprPtr e = make(kind, line);
  (adopt(*e, std::move(args)), ...);
  return e;
}
void ExpressionParser::raise(Expr& parent, const Expr* child) const {
  if (child == nullptr) return;
  if (child->height >= kMaxHeight) refuse(fmt::format("an expression has more than {} levels", kMaxHeight));
  parent.height = std::max(parent.height, child->height + 1);
}
void ExpressionParser::adopt(Expr& parent, ExprPtr child) const {
  raise(parent, child.get());
  parent.args.push_back(std::move(child));
}
ExprPtr ExpressionParser::constant(const Value& value, int line) const {
  ExprPtr e = make(Expr::Kind::kConstant, line);
  e->value = value;
  return e;
}
ExprPtr ExpressionParser::text_constant(std::string text, int line) const {
  ExprPtr e = make(Expr::Kind::kConstant, line);
  auto object = std::make_unique<String>(std::move(text));
  e->value = Value(object.get());
  e->object = std::move(object);
  return e;
}

ExprPtr ExpressionParser::expression(bool with_condition) {
  const Depth depth(*this);
  return with_condition ? condition() : logical_or();
}

ExprPtr ExpressionParser::condition() {
  int line = current().line;
  const size_t num_unknown = unknown_.size();
  ExprPtr e = logical_or();
  while (skip_word("if")) {
    ExprPtr when = logical_or();
    ExprPtr otherwise;
    if (skip_word("else")) {
      const Depth depth(*this);
      otherwise = condition();
    }
    e = make(Expr::Kind::kCondition, line, std::move(e), std::move(when), std::move(otherwise));
    line = current().line;
    unknown_.resize(num_unknown);
  }
  return e;
}

// operand (link operand)*, from the left. link(): takes the sign between two operands, if one follows.
template <typename Operand, typename Link>
ExprPtr ExpressionParser::chain(Operand operand, Link link) {
  int line = current().line;
  ExprPtr e = operand();
  while (const std::optional<Joint> joint = link()) {
    ExprPtr right = operand();
    e = make(joint->kind, line, std::move(e), std::move(right));
    e->op = joint->op;
    line = current().line;
  }
  return e;
}

std::optional<ExpressionParser::Joint> ExpressionParser::skip_any(std::span<const std::pair<std::string_view, Operator>> signs) {
  for (const auto& [text, op] : signs) {
    if (skip_operator(text)) return Joint{Expr::Kind::kBinary, op};
  }
  return std::nullopt;
}

ExprPtr ExpressionParser::logical_or() {
  return chain([this] { return logical_and(); },
               [this] {
                 return skip_word("or") ? std::optional<Joint>({Expr::Kind::kOr, {}}) : std::nullopt;
               });
}

ExprPtr ExpressionParser::logical_and() {
  return chain([this] { return logical_not(); },
               [this] {
                 return skip_word("and") ? std::optional<Joint>({Expr::Kind::kAnd, {}}) : std::nullopt;
               });
}

ExprPtr ExpressionParser::logical_not() {
  const int line = current().line;
  if (!skip_word("not")) return comparison();
  const Depth depth(*this);
  return make(Expr::Kind::kNot, line, logical_not());
}

ExprPtr ExpressionParser::comparison() {
  constexpr std::array<std::pair<std::string_view, Operator>, 6> kOperators = {{{"==", Operator::kEqual},
                                                                                {"!=", Operator::kNotEqual},
                                                                                {"<", Operator::kLess},
                                                                                {"<=", Operator::kLessEqual},
                                                                                {">", Operator::kGreater},
                                                                                {">=", Operator::kGreaterEqual}}};
  ExprPtr compare = make(Expr::Kind::kCompare, current().line);
  adopt(*compare, sum());
  const auto compare_with = [&](Operator op) {
    compare->ops.push_back(op);
    adopt(*compare, sum());
  };
  for (;;) {
    if (const auto joint = skip_any(kOperators)) {
      compare_with(joint->op);
    } else if (skip_word("in")) {
      compare_with(Operator::kIn);
    } else if (at_word("not") && next().kind == Token::Kind::kName && next().text == "in") {
      advance();
      advance();
      compare_with(Operator::kNotIn);
    } else {
      break;
    }
  }
  return compare->ops.empty() ? std::move(compare->args[0]) : std::move(compare);
}

ExprPtr ExpressionParser::sum() {
  constexpr std::array<std::pair<std::string_view, Operator>, 2> kOperators = {
      {{"+", Operator::kAdd}, {"-", Operator::kSubtract}}};
  return chain([this] { return concatenation(); }, [&] { return skip_any(kOperators); });
}

ExprPtr ExpressionParser::concatenation() {
  ExprPtr concat = make(Expr::Kind::kConcat, current().line);
  adopt(*concat, product());
  while (skip_operator("~")) adopt(*concat, product());
  return concat->args.size() == 1 ? std::move(concat->args[0]) : std::move(concat);
}

ExprPtr ExpressionParser::product() {
  constexpr std::array<std::pair<std::string_view, Operator>, 4> kOperators = {
      {{"*", Operator::kMultiply}, {"/", Operator::kDivide}, {"//", Operator::kFloorDivide}, {"%", Operator::kModulo}}};
  return chain([this] { return power(); }, [&] { return skip_any(kOperators); });
}

ExprPtr ExpressionParser::power() {  // unlike in Python, from left to right
  constexpr std::array<std::pair<std::string_view, Operator>, 1> kOperators = {{{"**", Operator::kPower}}};
  return chain([this] { return unary(); }, [&] { return skip_any(kOperators); });
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  const Depth depth(*this);
  const int line = current().line;
  ExprPtr e;
  if (skip_operator("-")) {
    e = make(Expr::Kind::kNegate, line, unary(false));
  } else if (skip_operator("+")) {
    e = make(Expr::Kind::kPlus, line, unary(false));
  } else {
    e = primary();
  }
  e = postfix(std::move(e));
  return with_filter ? filters_and_tests(std::move(e)) : std::move(e);
}

ExprPtr ExpressionParser::primary() {
  const int line = current().line;
  if (at(Token::Kind::kName)) {
    const std::string text = name();
    const Value yes = true, no = false, none;
    if (text == "true" || text == "True") return constant(yes, line);
    if (text == "false" || text == "False") return constant(no, line);
    if (text == "none" || text == "None") return constant(none, line);
    ExprPtr e = make(Expr::Kind::kName, line);
    e->name = text;
    e->id = id_of(text);
    return e;
  }
  if (at(Token::Kind::kString)) {
    std::string text;
    for (; at(Token::Kind::kString); advance()) text += current().text;
    return text_constant(std::move(text), line);
  }
  if (at(Token::Kind::kInteger) || at(Token::Kind::kFloat)) return number();
  if (skip_operator("(")) {
    ExprPtr e = tuple(true, /*allow_empty=*/true);
    expect_operator(")");
    return e;
  }
  if (at_operator("[")) return list();
  if (at_operator("{")) return dict();
  refuse(fmt::format("expected an expression, got {}", describe()));
}

ExprPtr ExpressionParser::number() {
  const Token token = current();
  const std::string& text = token.text;
  if (token.kind == Token::Kind::kFloat) {
    const double value = std::strtod(text.c_str(), nullptr);
    if (!std::isfinite(value)) refuse(fmt::format("the number {} is too large", text));
    advance();
    return constant(value, token.line);
  }
  const char prefix = text.size() > 1 && text[0] == '0' ? text[1] : '\0';
  const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data() + (base == 10 ? 0 : 2), end, value, base);
  if (result.ec != std::errc() || result.ptr != end) refuse(fmt::format("the integer {} is larger than 64 bits hold", text));
  advance();
  return constant(value, token.line);
}

ExprPtr ExpressionParser::list() {
  ExprPtr e = make(Expr::Kind::kList, current().line);
  expect_operator("[");
  while (!at_operator("]")) {
    if (!e->args.empty()) expect_operator(",");
    if (at_operator("]")) break;
    adopt(*e, expression());
  }
  expect_operator("]");
  return e;
}

ExprPtr ExpressionParser::dict() {
  ExprPtr e = make(Expr::Kind::kDict, current().line);
  expect_operator("{");
  while (!at_operator("}")) {
    if (!e->args.empty()) expect_operator(",");
    if (at_operator("}")) break;
    adopt(*e, expression());
    expect_operator(":");
    adopt(*e, expression());
  }
  expect_operator("}");
  return e;
}

ExprPtr ExpressionParser::tuple(bool with_condition, bool allow_empty, std::string_view end_word) {
  const int line = current().line;
  ExprPtr e = make(Expr::Kind::kTuple, line);
  bool is_tuple = false;
  for (;;) {
    if (is_tuple) expect_operator(",");
    if (at(Token::Kind::kVariableEnd) || at(Token::Kind::kBlockEnd) || at_operator(")") ||
        (!end_word.empty() && at_word(end_word)))
      break;
    adopt(*e, expression(with_condition));
    if (!at_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return e;
  if (!e->args.empty()) return std::move(e->args[0]);
  if (!allow_empty) refuse(fmt::format("expected an expression, got {}", describe()));
  return e;
}

ExprPtr ExpressionParser::postfix(ExprPtr e) {
  for (;;) {
    if (at_operator(".") || at_operator("[")) {
      e = subscript(std::move(e));
    } else if (at_operator("(")) {
      e = call(std::move(e));
    } else {
      return e;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr e) {
  const int line = current().line;
  if (skip_operator(".")) {
    if (at(Token::Kind::kInteger)) {
      ExprPtr index = number();
      return make(Expr::Kind::kIndex, line, std::move(e), std::move(index));
    }
    if (!at(Token::Kind::kName)) refuse(fmt::format("expected a name or a number behind '.', got {}", describe()));
    e = make(Expr::Kind::kAttribute, line, std::move(e));
    e->name = name();
    e->known_to = kinds_with_attribute(e->name);
    return e;
  }
  expect_operator("[");
  ExprPtr bounds[3];
  int colons = 0;
  bool is_tuple = false;
  ExprPtr index = make(Expr::Kind::kTuple, line);
  while (!at_operator("]")) {
    if (is_tuple) expect_operator(",");
    for (colons = 0; !at_operator("]") && !at_operator(",");) {
      if (at_operator(":") && colons < 2) {
        advance();
        ++colons;
      } else if (bounds[colons] == nullptr && !at_operator(":")) {
        bounds[colons] = expression();
      } else {
        refuse(fmt::format("expected ']', got {}", describe()));
      }
    }
    if (at_operator(",") || is_tuple) {
      if (colons > 0) refuse("a slice beside other subscripts is not supported");
      if (bounds[0] == nullptr) refuse(fmt::format("expected an expression, got {}", describe()));
      adopt(*index, std::move(bounds[0]));
      is_tuple = true;
    }
  }
  expect_operator("]");
  if (is_tuple) return make(Expr::Kind::kIndex, line, std::move(e), std::move(index));
  if (colons > 0)
    return make(Expr::Kind::kSlice, line, std::move(e), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2]));
  if (bounds[0] == nullptr) return make(Expr::Kind::kIndex, line, std::move(e), std::move(index));  // x[] is x[()]
  return make(Expr::Kind::kIndex, line, std::move(e), std::move(bounds[0]));
}

ExprPtr ExpressionParser::call(ExprPtr e) {
  e = make(Expr::Kind::kCall, current().line, std::move(e));
  arguments(*e);
  return e;
}

void ExpressionParser::arguments(Expr& call) {
  call.num_fixed = static_cast<int>(call.args.size());
  expect_operator("(");
  for (bool is_first = true; !at_operator(")"); is_first = false) {
    if (!is_first) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    const auto check_order = [&](bool ok) {
      if (!ok) refuse("arguments in a wrong order: first plain ones, then NAME=VALUE and one *LIST, then one **DICT");
    };
    if (skip_operator("*")) {
      check_order(call.star == nullptr && call.star_star == nullptr);
      call.star = expression();
      raise(call, call.star.get());
    } else if (skip_operator("**")) {
      check_order(call.star_star == nullptr);
      call.star_star = expression();
      raise(call, call.star_star.get());
    } else if (at(Token::Kind::kName) && next().kind == Token::Kind::kOperator && next().text == "=") {
      check_order(call.star_star == nullptr);
      std::string keyword = name();
      advance();
      for (const auto& [other, value] : call.keywords) {
        if (other == keyword) refuse(fmt::format("the argument '{}' is given twice", keyword));
      }
      call.keywords.emplace_back(std::move(keyword), expression());
      raise(call, call.keywords.back().second.get());
    } else {
      check_order(call.star == nullptr && call.star_star == nullptr && call.keywords.empty());
      adopt(call, expression());
    }
  }
  expect_operator(")");
}

std::string ExpressionParser::dotted_name() {
  std::string text = name();
  while (skip_operator(".")) text += "." + name();
  return text;
}

ExprPtr ExpressionParser::filters(ExprPtr value, bool starts_inline) {
  while (starts_inline || skip_operator("|")) {
    starts_inline = false;
    const int line = current().line;
    ExprPtr filter = make(Expr::Kind::kFilter, line);
    filter->name = dotted_name();
    if (!is_soft && find_filter(filter->name) == nullptr) unknown_.push_back({line, unknown_filter(filter->name)});
    adopt(*filter, std::move(value));
    filter->num_fixed = 1;
    if (at_operator("(")) arguments(*filter);
    value = std::move(filter);
  }
  return value;
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr e) {
  for (;;) {
    if (at_operator("|")) {
      e = filters(std::move(e), false);
    } else if (at_word("is")) {
      e = test(std::move(e));
    } else if (at_operator("(")) {
      e = call(std::move(e));
    } else {
      return e;
    }
  }
}

ExprPtr ExpressionParser::test(ExprPtr e) {
  const int line = current().line;
  expect_word("is");
  const bool is_negated = skip_word("not");
  e = make(Expr::Kind::kTest, line, std::move(e));
  e->name = dotted_name();
  e->num_fixed = 1;
  if (!is_soft && find_test(e->name) == nullptr) unknown_.push_back({line, unknown_test(e->name)});
  const bool takes_one = at(Token::Kind::kName) ? !at_word("else") && !at_word("or") && !at_word("and")
                                                : at(Token::Kind::kString) || at(Token::Kind::kInteger) ||
                                                      at(Token::Kind::kFloat) || at_operator("[") || at_operator("{");
  if (at_operator("(")) {
    arguments(*e);
  } else if (takes_one) {
    if (at_word("is")) refuse("several tests with 'is' in a row; put the first in brackets");
    const Depth depth(*this);
    adopt(*e, postfix(primary()));
  }
  return is_negated ? make(Expr::Kind::kNot, line, std::move(e)) : std::move(e);
}

Target ExpressionParser::primary_target(bool with_attributes) {
  const Depth depth(*this);
  if (skip_operator("(")) {
    Target t = tuple_target(with_attributes, "", true);
    expect_operator(")");
    return t;
  }
  Target t;
  t.name = name();
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (t.name == constant) refuse(fmt::format("'{}' cannot be assigned to", t.name));
  }
  t.id = id_of(t.name);
  if (with_attributes && skip_operator(".")) t.attribute = name();
  return t;
}

Target ExpressionParser::tuple_target(bool with_attributes, std::string_view end_word, bool in_parentheses) {
  Target several;
  bool is_tuple = false;
  for (;;) {
    if (is_tuple) expect_operator(",");
    if (at(Token::Kind::kVariableEnd) || at(Token::Kind::kBlockEnd) || at_operator(")") ||
        (!end_word.empty() && at_word(end_word)))
      break;
    several.parts.push_back(primary_target(with_attributes));
    if (!at_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple || (several.parts.empty() && in_parentheses)) return several;
  if (several.parts.empty()) refuse(fmt::format("expected a name, got {}", describe()));
  Target only = std::move(several.parts[0]);
  return only;
}

Target ExpressionParser::target(bool with_attributes, std::string_view end_word) {
  return tuple_target(with_attributes, end_word, false);
}

std::vector<Parameter> ExpressionParser::parameters() {
  std::vector<Parameter> out;
  expect_operator("(");
  while (!at_operator(")")) {
    if (!out.empty()) expect_operator(",");
    Parameter parameter;
    parameter.name = name();
    parameter.id = id_of(parameter.name);
    for (const Parameter& other : out) {
      if (other.name == parameter.name) refuse(fmt::format("the parameter '{}' is there twice", parameter.name));
    }
    if (skip_operator("=")) {
      parameter.fallback = expression();
    } else if (!out.empty() && out.back().fallback != nullptr) {
      refuse(fmt::format("the parameter '{}' without a default stands behind one with a default", parameter.name));
    }
    out.push_back(std::move(parameter));
  }
  expect_operator(")");
  return out;
}

}  // namespace lockstep::text::jinja
