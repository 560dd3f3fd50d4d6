// Errors as OpenAI's API answers them.
#pragma once

#include <string>

#include "serve/http.h"

namespace lockstep {

// The body names type, parameter and code as that API does for this status; a 429 and a 503 say when to come again.
HttpResponse error_response(int status, const std::string& message, const std::string& param = "");

// Its JSON alone, for a stream that has begun.
std::string error_body(int status, const std::string& message, const std::string& param = "");

}  // namespace lockstep
