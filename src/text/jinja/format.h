// Python's two ways of formatting: text % values, and text.format(...).
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/run.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

std::string format_percent(Run& run, std::string_view text, const Value& values);
std::string format_braces(Run& run, std::string_view text, const Arguments& arguments);

// The number with so many digits behind the point, as %f.
std::string format_fixed(double value, int digits);

}  // namespace lockstep::text::jinja
