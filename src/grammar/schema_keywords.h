// What we make of each keyword of a JSON schema.
#pragma once

#include <string_view>

namespace lockstep::grammar {

enum class KeywordKind {
  kAnnotation,   // says nothing about what is valid
  kConstraint,   // followed
  kUnsupported,  // would constrain, and is refused
  kUnknown,      // likely misspelt, and refused
};

KeywordKind kind_of_keyword(std::string_view keyword);

}  // namespace lockstep::grammar
