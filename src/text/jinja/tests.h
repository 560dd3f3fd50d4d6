// The tests: value is NAME.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

// self: the value that is tested; gives a boolean. Null where there is no such test.
const Builtin* find_test(std::string_view name);
std::string unknown_test(std::string_view name);  // the message about it

}  // namespace lockstep::text::jinja
