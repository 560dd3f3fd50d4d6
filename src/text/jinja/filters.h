// The filters.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

// self: the value that is filtered. Null where there is no such filter or it is not supported.
const Builtin* find_filter(std::string_view name);
std::string unknown_filter(std::string_view name);  // the message about it

// The filters by what they work on.
std::span<const Builtin> text_filters();
std::span<const Builtin> list_filters();
std::span<const Builtin> selection_filters();
std::span<const Builtin> number_filters();

}  // namespace lockstep::text::jinja
