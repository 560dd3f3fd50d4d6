// A Jinja template, rendered with a conversation.
#include "fuzz.h"
#include "text/jinja/jinja.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string source = fuzz::text_of(data, size);
  if (!text::is_valid_utf8(source)) return 0;  // ChatTemplate refuses it before
  static const text::JinjaValue variables = text::JinjaValue::parse(R"({
      "messages": [{"role": "system", "content": "Be brief. é 世界"}, {"role": "user", "content": " Hi\n"},
                   {"role": "assistant", "content": "<think>x</think> Yes"}, {"role": "user", "content": ""}],
      "tools": null, "documents": null, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})");
  fuzz::allow_error([&] {
    const text::JinjaTemplate jinja(source, "FILE");
    constexpr text::JinjaLimits kLimits = {.steps = 20'000, .bytes = 4 << 20};
    const std::string out = jinja.render(variables, kLimits);
    fuzz::require(static_cast<int64_t>(out.size()) <= kLimits.bytes && text::is_valid_utf8(out));
  });
  return 0;
}
