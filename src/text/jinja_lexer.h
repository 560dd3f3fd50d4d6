// Cuts a Jinja template into text and tags, and tags into tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::text::jinja {

struct Token {
  enum class Kind { kName, kString, kInteger, kFloat, kOperator, kEnd };
  Kind kind;
  std::string text;  // kString: the value, escapes resolved
};

struct Segment {
  enum class Kind { kText, kOutput, kStatement };
  Kind kind;
  int line;
  std::string text;           // kText
  std::vector<Token> tokens;  // kOutput, kStatement; the last is kEnd
};

// Whitespace around tags is dropped as Jinja does with trim_blocks and lstrip_blocks. Throws Error naming `where` and the line.
std::vector<Segment> lex(std::string_view source, const std::string& where);

}  // namespace lockstep::text::jinja
