// Unicode regular expressions of tokenizer.json. `tokenizers` runs them with Oniguruma (Ruby syntax); we run them with PCRE2 and
// translate where the two differ. What cannot be translated exactly is refused.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/code_point_set.h"

namespace lockstep::text {

// A stretch [begin, end) of a text, in bytes, and whether the pattern matched it.
struct Match {
  size_t begin;
  size_t end;
  bool is_match;
};

// Something that a text is split by.
class Pattern {
 public:
  virtual ~Pattern() = default;
  // Appends stretches that cover text (valid UTF-8) without gap or overlap, in order.
  virtual void find(std::string_view text, std::vector<Match>& out) const = 0;
};

// pattern: Oniguruma syntax. where: the component, for messages. Throws Error for syntax that we do not support. The result is
// immutable and thread-safe; its find() throws Error when PCRE2 gives up (a limit on backtracking).
std::unique_ptr<Pattern> make_regex(std::string_view pattern, const std::string& where);

// A string that is looked for as it stands, from left to right.
std::unique_ptr<Pattern> make_literal(std::string literal);

// The code points that the PCRE2 class [members] matches. where: for messages.
CodePointSet code_points_of(std::string_view members, const std::string& where);

// The Oniguruma pattern in PCRE2's syntax (for PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE); exposed for tests.
std::string translate_regex(std::string_view pattern, const std::string& where);

}  // namespace lockstep::text
