// Pre-tokenizers: cut a text into the pieces that BPE may not merge across. Component `pre_tokenizer` of tokenizer.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/component.h"

namespace lockstep::text {

// A stretch of PieceList::text that is encoded by itself.
struct Piece {
  size_t begin;
  size_t end;
  int32_t added_id = -1;  // an added token: already encoded, no pre-tokenizer touches it
  bool at_start = false;  // begins where the whole input begins
};

// The pieces of one input, in order; all of them together cover `text`.
struct PieceList {
  std::string text;  // valid UTF-8
  std::vector<Piece> pieces;

  std::string_view view(const Piece& p) const { return std::string_view(text).substr(p.begin, p.end - p.begin); }
  // Appends a piece with its own text; an empty one is left out unless it is an added token.
  void append(std::string_view piece, int32_t added_id, bool at_start);
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(PieceList& list) const = 0;

  // Sequence, ByteLevel, Split, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer,
  // CharDelimiterSplit, FixedLength; Error for another type.
  static std::unique_ptr<PreTokenizer> create(const Component& component);
};

// How Metaspace marks the beginning of a text; shared by pre-tokenizer and decoder.
struct MetaspaceOptions {
  enum class Prepend { kAlways, kFirst, kNever };
  std::string replacement;  // one character, usually U+2581
  Prepend prepend = Prepend::kAlways;
  bool split = true;

  static MetaspaceOptions read(const Component& component);
};

}  // namespace lockstep::text
