// What to do about an error with which a step of the examination ended.
#pragma once

#include <string>

namespace lockstep::doctor {

std::string remedy_of_error(const std::string& error);

}  // namespace lockstep::doctor
