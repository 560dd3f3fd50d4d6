// The functions that a template may call.
#pragma once

#include <span>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

std::span<const Builtin> functions();  // a null one is known, but not supported

}  // namespace lockstep::text::jinja
