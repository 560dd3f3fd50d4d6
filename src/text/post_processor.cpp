#include "text/post_processor.h"

#include <algorithm>

#include "base/error.h"
#include "text/bpe_model.h"

namespace lockstep::text {

namespace {

int32_t read_id(const nlohmann::json& id, const std::string& where) {
  check(id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(kMaxTokenId), "{}: {} is not an id from 0 to {}",
        where, id.dump(-1, ' ', true), kMaxTokenId - 1);
  return id.get<int32_t>();
}

// A token as BertProcessing has it: ["</s>", 2].
int32_t read_token(const Component& component, std::string_view key) {
  const auto& pair = component.array(key);
  const std::string where = fmt::format("{}.{}", component.where(), key);
  check(pair.size() == 2 && pair[0].is_string(), "{}: expected a token and its id", where);
  return read_id(pair[1], where);
}

}  // namespace

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
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    component.allow_only({"sep", "cls", "trim_offsets", "add_prefix_space"});  // the latter two concern offsets
    templates_.push_back({read_token(component, "cls"), kSequence, read_token(component, "sep")});
  } else {
    component.refuse_type("ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, Sequence");
  }
}

void PostProcessor::read_template(const Component& component) {
  component.allow_only({"single", "pair", "special_tokens"});  // pairs of texts are not for us
  const Component special_tokens = component.child("special_tokens");
  std::vector<int32_t>& parts = templates_.emplace_back();
  for (const Component& piece : component.children("single")) {
    check(piece.json().size() == 1, "{}: expected either Sequence or SpecialToken", piece.where());
    if (piece.has("Sequence")) {
      const Component sequence = piece.child("Sequence");
      check(sequence.string("id") == "A", "{}: sequence '{}' does not occur in a single text, expected 'A'", sequence.where(),
            sequence.string("id"));
      check(std::find(parts.begin(), parts.end(), kSequence) == parts.end(), "{}: the text occurs twice in the template",
            piece.where());
      parts.push_back(kSequence);
    } else {
      const Component token = special_tokens.child(piece.child("SpecialToken").string("id"));
      token.allow_only({"id", "ids", "tokens"});
      for (const auto& id : token.array("ids")) {
        parts.push_back(read_id(id, token.where() + ".ids"));
      }
    }
  }
}

std::vector<int32_t> PostProcessor::add_special_tokens(std::vector<int32_t> ids) const {
  for (const auto& parts : templates_) {
    std::vector<int32_t> out;
    out.reserve(ids.size() + parts.size());
    for (const int32_t part : parts) {
      if (part == kSequence) {
        out.insert(out.end(), ids.begin(), ids.end());
      } else {
        out.push_back(part);
      }
    }
    ids = std::move(out);
  }
  return ids;
}

int64_t PostProcessor::vocab_size() const {
  int64_t size = 0;
  for (const auto& parts : templates_) {
    for (const int32_t part : parts) size = std::max(size, int64_t{part} + 1);
  }
  return size;
}

}  // namespace lockstep::text
