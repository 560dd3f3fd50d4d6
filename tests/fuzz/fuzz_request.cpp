// Bodies of requests: any JSON, as a chat and as a completion, up to what the engine would be given.
#include "fuzz.h"
#include "openai/request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string text = fuzz::text_of(data, size);
  for (const Endpoint endpoint : {Endpoint::kChatCompletions, Endpoint::kCompletions}) {
    fuzz::allow_error([&] {
      const OpenAiRequest request = parse_openai_request(parse_request_json(text), endpoint);
      const SamplingParams& s = request.sampling;
      fuzz::require(s.n >= 1 && s.max_tokens >= 1 && s.temperature >= 0.0f && s.top_p > 0.0f && s.top_p <= 1.0f && s.top_k >= 0);
      for (const auto& [token, bias] : s.logit_bias) fuzz::require(token >= 0 && bias >= -100.0f && bias <= 100.0f);
      if (endpoint == Endpoint::kChatCompletions) {
        fuzz::require(!request.chat.messages.empty());
        for (const auto& message : request.chat.messages) fuzz::require(message.contains("role") && message.contains("content"));
      } else {
        fuzz::require(!request.prompts.empty());
      }
    });
  }
  return 0;
}
