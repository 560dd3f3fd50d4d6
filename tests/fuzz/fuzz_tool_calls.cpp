// What a model writes, read for calls of tools: the first byte chooses the form, the second how the text is cut.
#include <nlohmann/json.hpp>

#include "fuzz.h"
#include "openai/tool_calls.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  if (size < 2) return 0;
  constexpr int kForms = 4;
  const auto format = static_cast<ToolFormat>(data[0] % kForms);
  const size_t step = 1 + data[1];
  const std::string text = fuzz::text_of(data + 2, size - 2);
  const auto parse = [&](size_t piece) {
    ToolCallParser parser(format);
    std::string out;
    for (size_t i = 0; i < text.size(); i += piece) out += parser.push(std::string_view(text).substr(i, piece));
    out += parser.finish();
    for (const ToolCall& call : parser.take_calls()) {
      fuzz::require(!call.name.empty() && nlohmann::json::parse(call.arguments).is_object());
      out += "\n" + call.name + call.arguments;
    }
    return out;
  };
  fuzz::require(parse(step) == parse(text.size() + 1));  // the cuts make no difference
  return 0;
}
