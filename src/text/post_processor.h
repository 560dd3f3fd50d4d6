// Post-processor: puts BOS and the like around the tokens of a text. Component `post_processor` of tokenizer.json.
#pragma once

#include <cstdint>
#include <vector>

#include "text/component.h"

namespace lockstep::text {

class PostProcessor {
 public:
  PostProcessor() = default;  // adds nothing
  // ByteLevel (which only moves offsets), TemplateProcessing, BertProcessing, RobertaProcessing, Sequence; Error for another
  // type.
  explicit PostProcessor(const Component& component);

  std::vector<int32_t> add_special_tokens(std::vector<int32_t> ids) const;
  int64_t vocab_size() const;  // largest id that it adds + 1

 private:
  static constexpr int32_t kSequence = -1;  // stands for the text's own tokens

  void read(const Component& component);
  void read_template(const Component& component);

  std::vector<std::vector<int32_t>> templates_;  // applied one after the other
};

}  // namespace lockstep::text
