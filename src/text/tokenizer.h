// Tokenizer: text <-> token ids, as Hugging Face's `tokenizers` reads tokenizer.json. Immutable and thread-safe once loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

// A stream of ids on its way to text.
class DecodeStream {
 public:
  virtual ~DecodeStream() = default;
  virtual void push(int32_t id, std::string& out) = 0;  // appends the text that this id settles
  virtual void finish(std::string& out) = 0;            // appends what was held back; nothing may be pushed afterwards
};

class Tokenizer {
 public:
  // path: tokenizer.json or the directory that holds it. Throws Error naming file, component and what is supported.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& path);
  // content: that of a tokenizer.json; name: what messages call it.
  static std::unique_ptr<Tokenizer> parse(std::string_view content, const std::string& name);
  virtual ~Tokenizer() = default;

  // text: UTF-8; invalid bytes are replaced by U+FFFD as Python's errors="replace" does. Added tokens (special or not) found in
  // the text become their ids. add_special_tokens runs the post-processor (BOS and the like). Throws Error for a character that
  // only an unk_token missing from the vocabulary could stand for, and when a regular expression gives up.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const = 0;
  // The stream of one text; must not outlive the tokenizer.
  virtual std::unique_ptr<DecodeStream> decode_stream(bool skip_special_tokens) const = 0;
  // Text of the ids, as Hugging Face's decode(skip_special_tokens=…). Unknown ids are skipped.
  std::string decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const;

  virtual std::optional<int32_t> token_to_id(std::string_view token) const = 0;
  virtual std::optional<std::string> id_to_token(int32_t id) const = 0;
  virtual bool is_special(int32_t id) const = 0;
  // What the token adds to a text that is decoded without special tokens, as bytes: it may be part of a character. is_first:
  // nothing stands before it, for some decoders drop the blank that a text begins with. Empty for ids that add nothing. Throws
  // Error where the decoder looks at more than one token at a time, so that there is no such thing.
  virtual std::string token_bytes(int32_t id, bool is_first) const = 0;
  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
};

// Turns a stream of ids into a stream of text. The concatenation of all pieces equals decode() of all ids, and a piece never ends
// inside a UTF-8 character. The cost of an id does not depend on how many came before. Held back are: an incomplete character;
// with byte fallback the current run of byte tokens, whose text is known at its end only.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens);
  std::string push(int32_t id);  // the text that this id completes; may be empty
  std::string finish();          // what was held back (an incomplete character becomes U+FFFD); then a new text may begin

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::unique_ptr<DecodeStream> stream_;
};

}  // namespace lockstep
