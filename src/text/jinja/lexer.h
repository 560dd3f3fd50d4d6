// Cuts a Jinja template into tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::text::jinja {

struct Token {
  enum class Kind {
    kData,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind;
  int line;
  std::string text;  // kData; kString: the value, escapes resolved; kInteger, kFloat: without '_'; kOperator: its characters
};

// The last token is kEnd. Whitespace around tags is dropped as Jinja does with trim_blocks and lstrip_blocks. Throws Error naming
// `where` and the line.
std::vector<Token> lex(std::string_view source, const std::string& where);

}  // namespace lockstep::text::jinja
