#include "openai/request_json.h"

#include "openai/request.h"
#include "text/strict_json.h"

namespace lockstep {

RequestJson parse_request_json(std::string_view text) {
  try {
    return text::parse_strict_json<RequestJson>(text, "the request");
  } catch (const Error& error) {
    throw RequestError("", error.what());
  } catch (const RequestJson::exception& error) {  // numbers that no double holds
    throw RequestError("", error.what());
  }
}

}  // namespace lockstep
