// Normalizers: what is done to a text before it is split. Component `normalizer` of tokenizer.json.
#pragma once

#include <memory>
#include <string>

#include "text/component.h"

namespace lockstep::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // text: valid UTF-8, and so is the result.
  virtual std::string normalize(std::string text) const = 0;

  // Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace, ByteLevel, Lowercase, Strip, StripAccents, Nmt; Error for another type.
  static std::unique_ptr<Normalizer> create(const Component& component);
};

}  // namespace lockstep::text
