// `lockstep tokenize`: a tokenizer as a filter, for looking at what a model sees.
#pragma once

#include <iosfwd>

#include "config/command_line.h"

namespace lockstep {

// Reads lines from `in` (they end at \n only; a \r is text; an unterminated last line counts) and writes one line each to `out`:
// a JSON array of ids, or with `decode`, where each line is such an array, the text of the ids. With `json` every text, read or
// written, is a JSON string. Returns the exit status, 0. Throws Error naming the line that cannot be read.
int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace lockstep
