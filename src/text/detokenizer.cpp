#include "text/tokenizer.h"

namespace lockstep {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_(skip_special_tokens), stream_(tokenizer.decode_stream(skip_special_tokens)) {}

std::string Detokenizer::push(int32_t id) {
  std::string out;
  stream_->push(id, out);
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  stream_->finish(out);
  stream_ = tokenizer_->decode_stream(skip_special_);
  return out;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  std::string out;
  const auto stream = decode_stream(skip_special_tokens);
  for (const int32_t id : ids) stream->push(id, out);
  stream->finish(out);
  return out;
}

}  // namespace lockstep
