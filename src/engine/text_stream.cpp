#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace lockstep {

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops, int64_t min_tokens, bool skip_special_tokens)
    : detokenizer_(tokenizer, skip_special_tokens), stops_(std::move(stops)), tokens_without_stop_(min_tokens) {
  for (const std::string& stop : stops_) check(!stop.empty(), "a stop string is empty; leave it out or give some text");
}

std::string TextStream::push(int32_t token) {
  if (stopped_) return {};
  held_ += detokenizer_.push(token);
  if (tokens_without_stop_ > 0) {
    --tokens_without_stop_;
    return std::exchange(held_, {});
  }
  return release(/*at_end=*/false);
}

std::string TextStream::finish() {
  if (stopped_) return {};
  held_ += detokenizer_.finish();
  return release(/*at_end=*/true);
}

std::string TextStream::release(bool at_end) {
  size_t found = std::string::npos;
  size_t keep = 0;  // length of the longest tail that begins some stop string
  for (const std::string& stop : stops_) {
    found = std::min(found, held_.find(stop));
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) keep = length;
    }
  }
  if (found != std::string::npos) {
    stopped_ = true;
    std::string out = held_.substr(0, found);
    held_.clear();
    return out;
  }
  if (at_end) keep = 0;
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

}  // namespace lockstep
