// A macro with the variables around its definition.
#pragma once

#include <string>

#include "text/jinja/scope.h"
#include "text/jinja/syntax.h"

namespace lockstep::text::jinja {

struct Macro : Object {
  Macro(const Node* n, std::string macro_name, ScopePtr s)
      : Object(Kind::kMacro), node(n), name(std::move(macro_name)), scope(std::move(s)) {}
  const Node* node;
  std::string name;  // empty: the body of a call block
  ScopePtr scope;
};

}  // namespace lockstep::text::jinja
