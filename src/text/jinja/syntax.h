// The syntax tree of a Jinja template.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expr {
  enum class Kind : uint8_t {
    kConstant,   // value
    kName,       // name, id
    kTuple,      // args
    kList,       // args
    kDict,       // args: key, value, key, value, ...
    kAttribute,  // args[0].name
    kIndex,      // args[0][args[1]]
    kSlice,      // args[0][args[1]:args[2]:args[3]], a bound may be null
    kCall,       // args[0](arguments)
    kFilter,     // args[0] | name(arguments); args[0] is null where a block is filtered
    kTest,       // args[0] is name(arguments)
    kNot,        // not args[0]
    kNegate,     // - args[0]
    kPlus,       // + args[0]
    kBinary,     // args[0] op args[1]
    kCompare,    // args[0] ops[0] args[1] ops[1] args[2] ...
    kConcat,     // args joined by ~
    kAnd,        // args[0] and args[1]
    kOr,         // args[0] or args[1]
    kCondition,  // args[0] if args[1] else args[2], which may be null
  };
  Kind kind;
  Operator op = Operator::kAdd;
  int line = 0;
  int id = -1;        // kName: that of the name in Program
  int height = 1;     // levels of the tree below and with this one, which evaluation and destruction descend by recursion
  int num_fixed = 0;  // kCall, kFilter, kTest: args before those that are passed
  std::string name;
  std::unique_ptr<Object> object;  // what `value` refers to, destroyed behind it
  Value value;                     // kConstant
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  ExprPtr star, star_star;  // *args, **kwargs of a call
  std::vector<Operator> ops;
  uint32_t known_to = 0;  // kAttribute: bit k is set where values of Kind k have an attribute of this name
};

// What is assigned to: a name, an attribute of a namespace, or several of these.
struct Target {
  int id = -1;            // -1: several
  std::string name;       // for messages
  std::string attribute;  // of a namespace; empty: the name itself
  std::vector<Target> parts;
};

struct Parameter {
  int id;
  std::string name;
  ExprPtr fallback;  // may be null
};

struct Node {
  enum class Kind : uint8_t {
    kText,
    kOutput,
    kFor,
    kIf,
    kSet,
    kSetBlock,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kWith,
    kScope,
    kBreak,
    kContinue
  };
  Kind kind;
  int line = 0;
  std::string text;             // kText; kMacro: its name
  std::vector<ExprPtr> values;  // kOutput, kWith
  ExprPtr expr;    // kFor: what is iterated over; kSet: the value; kSetBlock, kFilterBlock: the filters; kCallBlock: the call
  ExprPtr filter;  // kFor: `if` of the loop, may be null
  bool is_recursive = false;                                    // kFor
  std::vector<Target> targets;                                  // kFor, kSet, kSetBlock: one; kWith: one each; kMacro: its name
  std::vector<std::pair<ExprPtr, std::vector<Node>>> branches;  // kIf: condition (null: else) and what follows
  std::vector<Node> body;
  std::vector<Node> otherwise;                                             // kFor: else
  std::vector<Parameter> parameters;                                       // kMacro, kCallBlock
  bool takes_caller = false, takes_kwargs = false, takes_varargs = false;  // kMacro, kCallBlock: whether the body speaks of them
};

// Names that the interpreter itself sets.
enum : int { kLoopName, kCallerName, kKwargsName, kVarargsName, kNumOwnNames };

// A parsed template. Immutable.
struct Program {
  std::string where;
  std::vector<std::string> names;  // by id
  std::vector<Node> nodes;
};

// Throws Error naming `where` and the line.
std::unique_ptr<const Program> parse(std::string_view source, std::string where);

}  // namespace lockstep::text::jinja
