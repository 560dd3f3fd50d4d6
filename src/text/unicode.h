// Character properties, as the Unicode 16 tables behind `tokenizers` have them.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::text {

bool is_white_space(char32_t c);  // the property White_Space
bool is_numeric(char32_t c);      // general category N, in Unicode 17: Rust's char::is_numeric
bool is_punctuation(char32_t c);  // of the pre-tokenizer Punctuation: category P of Unicode 8, and all that is so in ASCII
bool is_mark(char32_t c);         // what the normalizer StripAccents takes away: category M of Unicode 9
bool is_word(char32_t c);         // \w of UTS #18: Alphabetic, marks, decimal digits, connectors, joiners

// Appends the lower case of c, which may be two characters (Rust's char::to_lowercase, Unicode 17).
void append_lowercase(std::string& out, char32_t c);

// Whether Unicode normalization in `tokenizers` does not know the character: it stays as it is and is no mark.
bool is_newer_than_normalization(char32_t c);

// The characters with general category `category` ("L", "Lu", ...) that the libraries at hand may not know yet, as ranges for
// the inside of a regular expression's class: "\x{1C89}\x{105C0}-\x{105F3}".
std::string newer_characters(std::string_view category);

// Likewise for a script, by its name in lower case without blanks.
std::string newer_characters_of_script(std::string_view script);

}  // namespace lockstep::text
