// Lines of a batch's input, up to token ids.
#include "app/batch_input.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  static const RequestEncoder encoder = [] {
    ModelConfig config;
    config.vocab_size = 1000;
    RequestEncoderOptions options;
    options.model_names = {"m"};
    options.max_model_len = 128;
    return RequestEncoder(config, nullptr, options);
  }();
  const BatchItem item = parse_batch_line(fuzz::text_of(data, size), 7, encoder, 3);
  fuzz::require(item.line == 7);
  fuzz::require(item.error.empty() == item.error_code.empty());
  if (!item.error.empty()) return 0;
  fuzz::require(!item.prompts.empty() && item.request.sampling.seed.has_value());
  for (const auto& prompt : item.prompts) {
    fuzz::require(!prompt.empty() && prompt.size() < 128);
    for (const int32_t token : prompt) fuzz::require(token >= 0 && token < 1000);
  }
  return 0;
}
