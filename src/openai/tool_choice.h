// The form of an output that must be calls of tools.
#pragma once

#include <string>

#include "config/options.h"
#include "openai/request_json.h"

namespace lockstep {

// As tool_choice asks for it: the arguments of the tool named `name`, or, without a name, a list of {"name", "parameters"} of any
// of them. tools: as read_chat() has checked them. Throws RequestError where there is none of that name.
GrammarSpec tool_call_form(const RequestJson& tools, const std::string& name);

}  // namespace lockstep
