// The JSON of a request: from anyone, so with limits. Keys keep their order, which templates write out (tojson).
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace lockstep {

using RequestJson = nlohmann::ordered_json;

// Throws RequestError for what is no JSON, holds invalid UTF-8, is nested too deep or has a key twice in an object. The time it
// takes is proportional to the length of the text.
RequestJson parse_request_json(std::string_view text);

}  // namespace lockstep
