// What the body of a macro or loop speaks of.
#pragma once

#include <vector>

#include "text/jinja/syntax.h"

namespace lockstep::text::jinja {

// Whether the names that a macro may take unasked are read before they are assigned to, in the order of the text (jinja2's
// find_undeclared).
struct Mentions {
  bool caller = false, kwargs = false, varargs = false;
};
Mentions find_mentions(const std::vector<Node>& body);

// Whether a name is assigned to anywhere in a statement.
bool assigns(const Node& node, int id);

}  // namespace lockstep::text::jinja
