// JSON schemas as grammars. docs/structured-output.md says which keywords, and what is narrower than the standard has it.
#pragma once

#include "grammar/budget.h"
#include "grammar/grammar.h"
#include "grammar/json_rules.h"

namespace lockstep::grammar {

// The rule of all that the schema allows. Throws SchemaError, which names the place as a JSON pointer, for what is no schema and
// for keywords that would constrain and are not supported.
RuleId build_json_schema(const SchemaJson& schema, GrammarBuilder& builder, Budget& budget);

}  // namespace lockstep::grammar
