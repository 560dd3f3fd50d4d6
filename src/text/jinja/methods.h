// The methods of strings, dictionaries and the rest, by Python's names. A function that is null: the method exists in Python, but
// is not supported.
#pragma once

#include <span>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

std::span<const Builtin> string_methods();
std::span<const Builtin> dict_methods();
std::span<const Builtin> list_methods();  // of tuples and ranges, too
std::span<const Builtin> loop_methods();
std::span<const Builtin> cycler_methods();

}  // namespace lockstep::text::jinja
