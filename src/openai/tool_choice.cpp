#include "openai/tool_choice.h"

#include "openai/request.h"

namespace lockstep {

using Json = RequestJson;

GrammarSpec tool_call_form(const RequestJson& tools, const std::string& name) {
  Json any = Json::array();
  for (const Json& tool : tools) {
    const Json& function = tool["function"];
    const Json parameters = function.value("parameters", Json({{"type", "object"}}));
    if (function["name"] == name) return {GrammarKind::kJsonSchema, parameters.dump()};
    any.push_back({{"type", "object"},
                   {"properties", {{"name", {{"const", function["name"]}}}, {"parameters", parameters}}},
                   {"required", {"name", "parameters"}},
                   {"additionalProperties", false}});
  }
  if (!name.empty()) throw RequestError("tool_choice", fmt::format("'tool_choice' names '{}', which is none of the tools", name));
  const Json list = {{"type", "array"}, {"minItems", 1}, {"items", {{"anyOf", any}}}};
  return {GrammarKind::kJsonSchema, list.dump()};
}

}  // namespace lockstep
