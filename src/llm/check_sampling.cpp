#include "llm/check_sampling.h"

#include "base/error.h"

namespace lockstep {
namespace {

struct Range {
  double min = 0.0;
  double max = 0.0;
  bool open_min = false;
};

void check_in(const char* field, double value, const Range& range) {
  const bool above = range.open_min ? value > range.min : value >= range.min;
  check(above && value <= range.max, "{} is {}; allowed: {} {} to {}", field, value, range.open_min ? "above" : "from", range.min,
        range.max);  // NaN is not
}

}  // namespace

void check_sampling(const SamplingParams& s) {
  check(s.max_tokens >= 1, "max_tokens is {}; allowed: 1 and more", s.max_tokens);
  check(s.min_tokens >= 0 && s.min_tokens <= s.max_tokens, "min_tokens is {}; allowed: 0 to max_tokens, {}", s.min_tokens,
        s.max_tokens);
  check_in("temperature", s.temperature, {0, 100});
  check(s.top_k >= 0, "top_k is {}; allowed: 0, which is off, and more", s.top_k);
  check_in("top_p", s.top_p, {0, 1, /*open_min=*/true});
  check_in("min_p", s.min_p, {0, 1});
  check_in("repetition_penalty", s.repetition_penalty, {0, 100, /*open_min=*/true});
  check_in("presence_penalty", s.presence_penalty, {-2, 2});
  check_in("frequency_penalty", s.frequency_penalty, {-2, 2});
  check(s.logprobs >= -1 && s.prompt_logprobs >= -1, "logprobs is {} and prompt_logprobs {}; allowed: -1, which is off, and more",
        s.logprobs, s.prompt_logprobs);
}

}  // namespace lockstep
