// Strings as Python sees them: sequences of code points, with its notions of space, case and kinds of characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::text::jinja {

bool is_space(char32_t c);      // str.isspace
bool is_alpha(char32_t c);      // str.isalpha
bool is_decimal(char32_t c);    // str.isdecimal
bool is_digit(char32_t c);      // str.isdigit
bool is_number(char32_t c);     // str.isnumeric
bool is_lower(char32_t c);      // str.islower of one character
bool is_upper(char32_t c);      // str.isupper of one character
bool is_title(char32_t c);      // of titlecase, as U+01C5
bool is_printable(char32_t c);  // str.isprintable

// Case with full mappings ("ß" -> "SS"), and the final sigma.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string to_title(std::string_view text);        // str.title
std::string to_capitalized(std::string_view text);  // str.capitalize
std::string swap_case(std::string_view text);
std::string fold_case(std::string_view text);  // str.casefold

std::string_view strip_space(std::string_view text, bool left, bool right);

// The bytes of the characters [first, last), 0 <= first <= last <= number of characters.
std::string_view characters_between(std::string_view text, int64_t first, int64_t last);
// How many characters begin before this byte.
int64_t characters_before(std::string_view text, size_t byte);

// Where `needle` first (last) is in `text`, or npos; in time proportional to their lengths.
size_t find_text(std::string_view text, std::string_view needle);
size_t find_last_text(std::string_view text, std::string_view needle);

}  // namespace lockstep::text::jinja
