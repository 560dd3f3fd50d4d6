#include "text/post_processor.h"

#include <algorithm>

#include "base/error.h"
#include "text/bpe_model.h"

namespace lockstep::text {

PostProcessor::PostProcessor(const Component& component) { read(component); }

void PostProcessor::read(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    component.allow_only({"processors"});
    for (const Component& part : component.children("processors")) read(part);
  } else if (type == "ByteLevel") {
    component.allow_only({"add_prefix_space", "trim_offsets", "use_regex"});
  } else if (type == "TemplateProcessing") {
    read_template(component);
  } else {
    component.refuse_type("ByteLevel, TemplateProcessing, Sequence");
  }
}

void PostProcessor::read_template(const Component& component) {
  component.allow_only({"single", "pair", "special_tokens"});  // pairs of texts are not for us
  check(!has_template_, "{}: a second TemplateProcessing in a Sequence is not supported", component.where());
  has_template_ = true;
  const Component special_tokens = component.child("special_tokens");
  template_.clear();
  for (const Component& piece : component.children("single")) {
    check(piece.json().size() == 1, "{}: expected either Sequence or SpecialToken", piece.where());
    if (piece.has("Sequence")) {
      const Component sequence = piece.child("Sequence");
      check(sequence.string("id") == "A", "{}: sequence '{}' does not occur in a single text, expected 'A'", sequence.where(),
            sequence.string("id"));
      template_.push_back(kSequence);
    } else {
      const Component token = special_tokens.child(piece.child("SpecialToken").string("id"));
      token.allow_only({"id", "ids", "tokens"});
      for (const auto& id : token.array("ids")) {
        check(id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(kMaxTokenId),
              "{}.ids: {} is not an id from 0 to {}", token.where(), id.dump(), kMaxTokenId - 1);
        template_.push_back(id.get<int32_t>());
      }
    }
  }
}

std::vector<int32_t> PostProcessor::add_special_tokens(const std::vector<int32_t>& ids) const {
  std::vector<int32_t> out;
  out.reserve(ids.size() + template_.size());
  for (const int32_t part : template_) {
    if (part == kSequence) {
      out.insert(out.end(), ids.begin(), ids.end());
    } else {
      out.push_back(part);
    }
  }
  return out;
}

int64_t PostProcessor::vocab_size() const {
  return template_.empty() ? 0 : int64_t{*std::max_element(template_.begin(), template_.end())} + 1;
}

}  // namespace lockstep::text
