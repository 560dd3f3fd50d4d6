// `lockstep tokenize`: a tokenizer as a filter, for looking at what a model sees.
#pragma once

#include <iosfwd>
#include <string>

namespace lockstep {

struct TokenizeOptions {
  std::string model;                // tokenizer.json, or the directory that holds one
  bool add_special_tokens = false;  // encode: BOS and the like around each line
  bool decode = false;              // ids to text
};

// Reads lines from `in` (they end at \n only; a \r is text; an unterminated last line counts) and writes one line each to `out`:
// a JSON array of ids, or with `decode`, where each line is such an array, the text of the ids, special tokens included. Returns
// the exit status, 0. Throws Error naming the line that cannot be read.
int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace lockstep
