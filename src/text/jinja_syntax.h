// The syntax tree of a Jinja template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja.h"

namespace lockstep::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind {
    kLiteral,    // value
    kName,       // name
    kList,       // args
    kDict,       // args: key, value, key, value, ...
    kAttribute,  // args[0].name
    kIndex,      // args[0][args[1]]
    kSlice,      // args[0][args[1]:args[2]:args[3]], a bound may be null
    kCall,       // args[0](args[1...], keywords)
    kFilter,     // args[0] | name(args[1...], keywords)
    kTest,       // args[0] is name(args[1...])
    kUnary,      // name: - + not
    kBinary,     // name: or and + - ~ * / // % == != < <= > >= in not-in
    kCondition,  // args[0] if args[1] else args[2], which may be null
  };
  Kind kind;
  int line = 0;
  std::string name;
  JinjaValue value;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  int height = 1;  // levels of the tree below and with this one, which evaluation and destruction descend by recursion
};

struct Node {
  enum class Kind { kText, kOutput, kFor, kIf, kSet, kSetBlock, kBlock, kBreak, kContinue };
  Kind kind;
  int line = 0;
  std::string text;                  // kText
  ExprPtr expr;                      // kOutput; kSet: the value; kFor: what is iterated over
  ExprPtr filter;                    // kFor: `if` of the loop, may be null
  std::vector<std::string> targets;  // kFor: loop variables; kSet: a name, or a namespace and its attribute
  std::vector<std::pair<ExprPtr, std::vector<Node>>> branches;  // kIf: condition (null: else) and what follows
  std::vector<Node> body;                                       // kFor, kSetBlock, kBlock
  std::vector<Node> otherwise;                                  // kFor: else
};

// Throws Error naming `where` and the line.
std::vector<Node> parse(std::string_view source, const std::string& where);

}  // namespace lockstep::text::jinja
