// tokenizer.json from anywhere, and a text for it: nothing may crash, hang, grow without bound or make text that is not UTF-8.
//
// Input: a tokenizer.json, then optionally a byte 0 and the text (else some words). What is refused must be refused with an
// Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void exercise(const lockstep::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  for (const int32_t id : ids) require(id >= 0 && id < tokenizer.vocab_size());
  for (const bool skip : {false, true}) {
    const std::string decoded = tokenizer.decode(ids, skip);
    require(lockstep::text::is_valid_utf8(decoded));
    lockstep::Detokenizer detokenizer(tokenizer, skip);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string piece = detokenizer.push(id);
      require(lockstep::text::is_valid_utf8(piece));
      streamed += piece;
    }
    require(streamed + detokenizer.finish() == decoded);
  }
  // Ids that the text did not give, those out of range included.
  std::vector<int32_t> some;
  for (const char c : text.substr(0, 64)) some.push_back(c);
  require(lockstep::text::is_valid_utf8(tokenizer.decode(some, false)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  const std::string_view text =
      end == std::string_view::npos ? "Hello  wOrld's 123\n\n <s>\xC3\xA9\xE4\xBD\xA0 a" : input.substr(end + 1).substr(0, 4096);
  try {
    const auto tokenizer = lockstep::Tokenizer::parse(input.substr(0, end), "tokenizer.json");
    exercise(*tokenizer, text);
  } catch (const lockstep::Error&) {
  }
  return 0;
}
