// Combining JSON schemas that must hold together: `allOf`, `$ref` with others beside it, alternatives with others beside them.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "grammar/json_rules.h"

namespace lockstep::grammar {

// What is wrong with a schema; the message names the place as a JSON pointer.
class SchemaError : public Error {
 public:
  SchemaError(const std::string& pointer, const std::string& what)
      : Error(fmt::format("the JSON schema at '{}': {}", pointer.empty() ? "/" : pointer, what)) {}
};

// A key as a part of a JSON pointer (RFC 6901).
std::string pointer_part(const std::string& key);

// The schema that a `$ref` names: "#" or "#/…" within `root`. Throws SchemaError for another, with `pointer`, the place of the
// reference.
const SchemaJson& resolve_reference(const SchemaJson& root, const SchemaJson& reference, const std::string& pointer);

// A schema without `$ref`, `allOf` and `nullable` at its top that allows what `schema` does; those below stay. Throws SchemaError
// where two schemas cannot be made one.
SchemaJson flatten_schema(const SchemaJson& root, const SchemaJson& schema, const std::string& pointer);

// What both allow; both flat.
SchemaJson merge_schemas(const SchemaJson& a, const SchemaJson& b, const std::string& pointer);

}  // namespace lockstep::grammar
