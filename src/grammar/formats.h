// The formats of JSON schemas that we know, as regular expressions.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::grammar {

// A pattern that all of a string matches; empty for a format that is not known. What they allow is valid whoever checks it, so
// they are narrower than the standards where those are wide (no leap seconds or 29th of February, plain host names).
std::string_view pattern_of_format(std::string_view format);

// "date, time, ...", for messages.
std::string known_formats();

}  // namespace lockstep::grammar
