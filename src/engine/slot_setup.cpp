#include "engine/slot_setup.h"

#include <algorithm>

namespace lockstep {
namespace {

// Below it the likeliest token is taken: what logits differ by is divided by it, and must stay a number. vLLM has the same bound.
constexpr float kLeastTemperature = 1e-5f;

}  // namespace

SlotSetup make_slot_setup(const Sequence& sequence) {
  SlotSetup setup;
  setup.slot = sequence.slot;
  SlotSampling& s = setup.sampling;
  const SamplingParams& p = sequence.params;
  s.seed = sequence.seed;
  s.temperature = p.temperature < kLeastTemperature ? 0.0f : p.temperature;
  s.top_k = p.top_k;
  s.top_p = p.top_p;
  s.min_p = p.min_p;
  s.repetition_penalty = p.repetition_penalty;
  s.presence_penalty = p.presence_penalty;
  s.frequency_penalty = p.frequency_penalty;
  s.logprobs = p.logprobs;
  s.prompt_logprobs = p.prompt_logprobs;
  for (const auto& [token, bias] : p.logit_bias) {
    s.bias_tokens.push_back(token);
    s.bias.push_back(bias);
  }
  s.min_tokens = p.min_tokens;
  if (p.min_tokens > 0) {
    for (const int32_t token : sequence.stop_tokens) {
      const auto& allowed = sequence.text_stops;
      if (std::find(allowed.begin(), allowed.end(), token) == allowed.end()) s.stop_tokens.push_back(token);
    }
  }
  if (sequence.num_outputs() > 0) setup.last_token = sequence.tokens.back();
  if (s.has_penalty()) {
    const auto outputs = sequence.tokens.begin() + sequence.prompt_len;
    setup.prompt.assign(sequence.tokens.begin(), outputs);
    setup.outputs.assign(outputs, sequence.tokens.end());
  }
  return setup;
}

}  // namespace lockstep
