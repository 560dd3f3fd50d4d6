// The chat of a request: messages, tools and what else a template may see.
#pragma once

#include "openai/json_fields.h"
#include "openai/request.h"

namespace lockstep {

// Reads messages, tools, tool_choice, parallel_tool_calls, documents, chat_template_kwargs, add_generation_prompt and
// continue_final_message. What a message holds is passed on as it came, but: arguments of tool calls that are JSON in a string
// become what the string says, as templates expect; no content becomes an empty one.
void read_chat(JsonFields& fields, OpenAiRequest& request);

}  // namespace lockstep
