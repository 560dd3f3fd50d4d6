// Decoders: tokens back to text. Component `decoder` of tokenizer.json.
//
// A decoder is a chain of steps. `tokenizers` runs each step over the whole list of tokens; we let the tokens stream through the
// chain, so that one implementation serves decode() and incremental detokenization, and both give the same text.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/component.h"

namespace lockstep::text {

// A step at work on one text.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  // A part of a token, cut between characters; ends_token: its last part. What the step can already tell goes to the next step.
  virtual void push(std::string_view part, bool ends_token) = 0;
  // No more tokens: gives the rest to the next step and finishes that.
  virtual void finish() = 0;
};

// One token by itself on its way through the steps; see Decoder::token_bytes().
struct LoneToken {
  std::string bytes;
  bool is_first = false;
  bool is_fused = false;  // later steps see it as a part of one long token
};

// A step as the file describes it; immutable.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual std::unique_ptr<DecodeStage> start(DecodeStage& next) const = 0;
  // What the step makes of a token. False: it depends on what stands before or behind the token.
  virtual bool apply(LoneToken& token) const = 0;
};

class Decoder {
 public:
  // No decoder: `tokenizers` joins the tokens with blanks.
  Decoder();
  // BPEDecoder, ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece; Error for another type.
  explicit Decoder(const Component& component);

  // What a token adds to a text that goes on with, or begins with it: bytes, for it may be part of a character. Empty where the
  // decoder's steps look at more than one token at a time.
  std::optional<std::string> token_bytes(std::string_view token, bool is_first) const;

  // One text being decoded.
  class Run {
   public:
    explicit Run(const Decoder& decoder);
    ~Run();
    Run(Run&&) noexcept;
    // Both append to `out` (valid UTF-8).
    void push(std::string_view token, std::string& out);
    void finish(std::string& out);

   private:
    class Sink;
    std::unique_ptr<Sink> sink_;
    std::vector<std::unique_ptr<DecodeStage>> stages_;  // last step first
  };

 private:
  void read(const Component& component);

  std::vector<std::unique_ptr<DecodeStep>> steps_;
};

}  // namespace lockstep::text
