#include "openai/chat_fields.h"

namespace lockstep {
namespace {

using Json = RequestJson;

constexpr size_t kMaxMessages = 100'000;
constexpr size_t kMaxTools = 4096;

bool has_text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() && !it->get_ref<const std::string&>().empty();
}

// A text, or a list of parts that are texts.
void check_content(Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    message["content"] = "";
    return;
  }
  if (content->is_string()) return;
  if (!content->is_array()) JsonFields::refuse("messages", *content, "a content that is text, or a list of parts");
  for (Json& part : *content) {
    if (part.is_string()) part = {{"type", "text"}, {"text", part}};
    const bool is_text =
        part.is_object() && part.value("type", Json()) == "text" && part.contains("text") && part["text"].is_string();
    if (!is_text) JsonFields::refuse("messages", part, "parts of the type text; the model takes nothing else");
  }
}

void check_tool_calls(Json& message) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end()) return;
  if (calls->is_null() || (calls->is_array() && calls->empty())) {  // templates ask whether there is the key
    message.erase("tool_calls");
    return;
  }
  if (!calls->is_array()) JsonFields::refuse("messages", *calls, "tool_calls that are a list");
  for (Json& call : *calls) {
    const bool ok =
        call.is_object() && call.contains("function") && call["function"].is_object() && has_text(call["function"], "name");
    if (!ok) JsonFields::refuse("messages", call, "tool_calls that have a function with a name");
    Json& function = call["function"];
    if (!function.contains("arguments") || function["arguments"].is_null()) function["arguments"] = Json::object();
    Json& arguments = function["arguments"];
    if (!arguments.is_string()) continue;
    const auto text = arguments.get<std::string>();
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
      arguments = Json::object();
      continue;
    }
    try {
      arguments = parse_request_json(text);
    } catch (const RequestError&) {
      JsonFields::refuse("messages", arguments, "arguments of tool calls that are JSON");
    }
  }
}

Json read_messages(const Json& value) {
  if (!value.is_array() || value.empty()) JsonFields::refuse("messages", value, "a list of messages, not empty");
  if (value.size() > kMaxMessages)
    throw RequestError("messages", fmt::format("{} messages; allowed: {}", value.size(), kMaxMessages));
  Json messages = value;
  for (Json& message : messages) {
    if (!message.is_object() || !has_text(message, "role")) JsonFields::refuse("messages", message, "objects with a role");
    check_content(message);
    check_tool_calls(message);
  }
  return messages;
}

// null where there are none.
Json read_tools(JsonFields& fields) {
  const Json* tools = fields.find("tools");
  if (tools == nullptr) return nullptr;
  if (!tools->is_array() || tools->size() > kMaxTools)
    JsonFields::refuse("tools", *tools, fmt::format("a list of at most {} tools", kMaxTools));
  for (const Json& tool : *tools) {
    const bool ok = tool.is_object() && tool.value("type", Json()) == "function" && tool.contains("function") &&
                    tool["function"].is_object() && has_text(tool["function"], "name");
    if (!ok) JsonFields::refuse("tools", tool, "objects of the type function, each with a function that has a name");
  }
  return tools->empty() ? Json() : *tools;
}

void read_tool_choice(JsonFields& fields, OpenAiRequest& request) {
  request.chat.tools = read_tools(fields);
  fields.boolean("parallel_tool_calls", request.parallel_tool_calls);
  const Json* choice = fields.find("tool_choice");
  if (choice != nullptr && *choice == "none") request.chat.tools = nullptr;  // what it does not know of it does not call
  request.has_tools = !request.chat.tools.is_null();
  if (choice == nullptr || *choice == "none" || *choice == "auto") return;
  if (!request.has_tools) throw RequestError("tool_choice", "'tool_choice' asks for a call, but there are no tools");
  request.forces_call = true;
  if (*choice == "required") return;
  const bool named = choice->is_object() && choice->value("type", Json()) == "function" && choice->contains("function") &&
                     (*choice)["function"].is_object() && has_text((*choice)["function"], "name");
  if (!named) {
    JsonFields::refuse("tool_choice", *choice,
                       "\"none\", \"auto\", \"required\", or {\"type\": \"function\", \"function\": {\"name\": ...}}");
  }
  request.forced_tool = (*choice)["function"]["name"].get<std::string>();
}

}  // namespace

void read_chat(JsonFields& fields, OpenAiRequest& request) {
  const Json* messages = fields.find("messages");
  if (messages == nullptr) throw RequestError("messages", "'messages' is missing; expected a list of messages");
  ChatRequest& chat = request.chat;
  chat.messages = read_messages(*messages);
  read_tool_choice(fields, request);
  if (const Json* documents = fields.find("documents")) {
    const auto is_object = [](const Json& item) { return item.is_object(); };
    const bool ok = documents->is_array() && std::all_of(documents->begin(), documents->end(), is_object);
    if (!ok) JsonFields::refuse("documents", *documents, "a list of objects");
    chat.documents = *documents;
  }
  if (const Json* variables = fields.find("chat_template_kwargs")) {
    if (!variables->is_object()) JsonFields::refuse("chat_template_kwargs", *variables, "an object");
    chat.template_kwargs = *variables;
  }
  fields.boolean("add_generation_prompt", chat.add_generation_prompt);
  bool goes_on = false;
  fields.boolean("continue_final_message", goes_on);
  if (!goes_on) return;
  if (chat.add_generation_prompt && fields.has("add_generation_prompt")) {
    throw RequestError("continue_final_message",
                       "'continue_final_message' and 'add_generation_prompt' are both true; allowed: one of them");
  }
  chat.add_generation_prompt = false;
  chat.continue_final_message = "content";
}

}  // namespace lockstep
