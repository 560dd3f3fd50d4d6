// What is said of generated tokens. Part of the public library.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

// Why a continuation ended; kNone: it has not.
enum class FinishReason {
  kNone,
  kStop,    // an end-of-sequence or stop token, or a stop string
  kLength,  // max_tokens, or the context is full
  kTimeout
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;  // natural
};

struct TokenLogprobs {
  float logprob = 0.0f;           // of the token that stands there
  std::vector<TokenLogprob> top;  // the best, best first
};

}  // namespace lockstep
