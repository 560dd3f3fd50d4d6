#include "grammar/schema_keywords.h"

#include <set>

namespace lockstep::grammar {

KeywordKind kind_of_keyword(std::string_view keyword) {
  using Names = std::set<std::string_view>;
  static const Names kAnnotations = {"title",           "description",      "default",       "examples", "example", "deprecated",
                                     "readOnly",        "writeOnly",        "$schema",       "$comment", "$defs",   "definitions",
                                     "contentEncoding", "discriminator",    "xml",           "$id",      "id",      "$vocabulary",
                                     "externalDocs",    "contentMediaType", "contentSchema", "strict",   "name",    "$anchor"};
  static const Names kConstraints = {"type",
                                     "enum",
                                     "const",
                                     "properties",
                                     "required",
                                     "additionalProperties",
                                     "items",
                                     "prefixItems",
                                     "minItems",
                                     "maxItems",
                                     "minLength",
                                     "maxLength",
                                     "pattern",
                                     "format",
                                     "minimum",
                                     "maximum",
                                     "$ref",
                                     "anyOf",
                                     "oneOf",
                                     "allOf",
                                     "nullable",
                                     "exclusiveMinimum",
                                     "exclusiveMaximum",
                                     "unevaluatedProperties",
                                     "unevaluatedItems",
                                     "additionalItems",
                                     "uniqueItems",
                                     "multipleOf",
                                     "minProperties",
                                     "patternProperties"};
  static const Names kUnsupported = {
      "not",           "if",           "then",          "else",        "contains",          "minContains",      "maxContains",
      "propertyNames", "dependencies", "maxProperties", "$dynamicRef", "dependentRequired", "dependentSchemas", "$recursiveRef"};
  if (kAnnotations.count(keyword) > 0 || keyword.starts_with("x-")) return KeywordKind::kAnnotation;
  if (kConstraints.count(keyword) > 0) return KeywordKind::kConstraint;
  return kUnsupported.count(keyword) > 0 ? KeywordKind::kUnsupported : KeywordKind::kUnknown;
}

}  // namespace lockstep::grammar
