// The form that a request wants its output in: OpenAI's `response_format`, and what vLLM adds.
#pragma once

#include "config/options.h"
#include "openai/json_fields.h"

namespace lockstep {

// Reads response_format ({"type": "text" | "json_object" | "json_schema"}), guided_json, guided_regex, guided_choice,
// guided_json_object and structured_outputs. Throws RequestError for more than one of them, and for what is none; whether a
// schema or an expression can be followed is seen when it is compiled.
GrammarSpec read_output_form(JsonFields& fields);

}  // namespace lockstep
