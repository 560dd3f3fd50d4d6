// A text of English words made up by rule, for measurements where there is no text at hand.
#pragma once

#include <cstddef>
#include <string>

namespace lockstep {

// About `bytes` bytes: sentences of common words (by Zipf's law) and of rarer ones put together from syllables, so that the
// number of different words grows with the length as in real text; punctuation, numbers, names, lines of about 80 characters and
// paragraphs. The same for the same size.
std::string make_english_text(size_t bytes);

}  // namespace lockstep
