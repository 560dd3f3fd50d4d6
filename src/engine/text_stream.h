// TextStream: the text of one sequence as its tokens arrive, cut at the first stop string.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace lockstep {

class TextStream {
 public:
  // Stop strings must not be empty; they are not looked for in what the first min_tokens tokens make.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops, int64_t min_tokens = 0, bool skip_special_tokens = true);

  // The text that this token makes certain: whole characters, and nothing that could still turn out to begin a stop string.
  std::string push(int32_t token);
  // What was held back; call once, at the end. Empty after a stop string.
  std::string finish();
  // A stop string was found; the text ends before it.
  bool stopped() const { return stopped_; }

 private:
  std::string release(bool at_end);

  Detokenizer detokenizer_;
  std::vector<std::string> stops_;
  int64_t tokens_without_stop_;  // yet to come
  std::string held_;
  bool stopped_ = false;
};

}  // namespace lockstep
