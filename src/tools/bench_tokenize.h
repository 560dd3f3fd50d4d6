// `lockstep bench tokenize`: the rate of a tokenizer on one core.
#pragma once

#include <iosfwd>

#include "config/command_line.h"

namespace lockstep {

// Encodes and decodes a text (a file's, or one of English words made up by rule) and prints MB (10^6 bytes of text) and tokens a
// second, best of the repeats, beside the floor: reading the text once from memory. Returns the exit status, 0. Throws Error when
// the tokenizer or the text cannot be read.
int run_bench_tokenize(const BenchTokenizeOptions& options, std::ostream& out);

}  // namespace lockstep
