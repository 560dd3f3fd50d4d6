#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/component.h"
#include "text/decoder.h"
#include "text/json_file.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace lockstep {

namespace {

using text::Component;

constexpr size_t kMaxWordBytes = 24;  // a longer piece is looked through for places to cut it
constexpr size_t kMinTextToRemember = 256;
constexpr size_t kMaxRememberedBytes = 256;
constexpr size_t kMaxRememberedPieces = 1 << 16;

// tokenizer.json, read into its parts:
// text -> added tokens -> normalizer -> pre-tokenizer -> model -> post-processor -> ids, and ids -> decoder -> text.
class JsonTokenizer final : public Tokenizer {
 public:
  explicit JsonTokenizer(const Component& file)
      : normalizer_(file.has("normalizer") ? text::Normalizer::create(file.child("normalizer")) : nullptr),
        model_(file.child("model")),
        added_(file.has("added_tokens") ? file.children("added_tokens") : std::vector<Component>(), model_, normalizer_.get()),
        pre_tokenizer_(file.has("pre_tokenizer") ? text::PreTokenizer::create(file.child("pre_tokenizer")) : nullptr),
        post_processor_(file.has("post_processor") ? text::PostProcessor(file.child("post_processor")) : text::PostProcessor()),
        decoder_(file.has("decoder") ? text::Decoder(file.child("decoder")) : text::Decoder()) {
    // truncation and padding are left alone, as transformers does unless the caller asks for them.
    file.allow_only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                     "decoder", "model"});
    check(!file.has("version") || file.string("version") == "1.0", "{}: version '{}' is not supported, supported is '1.0'",
          file.where(), file.has("version") ? file.string("version") : "");
  }

  std::vector<int32_t> encode(std::string_view input, bool add_special_tokens) const override {
    text::PieceList list = added_.extract(text::repair_utf8(input), normalizer_.get());
    if (pre_tokenizer_) pre_tokenizer_->apply(list);
    std::vector<int32_t> ids = encode_pieces(list);
    return add_special_tokens ? post_processor_.add_special_tokens(ids) : ids;
  }

  std::unique_ptr<DecodeStream> decode_stream(bool skip_special_tokens) const override {
    return std::make_unique<Stream>(*this, skip_special_tokens);
  }

  std::optional<int32_t> token_to_id(std::string_view token) const override {
    if (const auto* added = added_.find(token)) return added->id;
    return model_.token_to_id(token);
  }
  std::optional<std::string> id_to_token(int32_t id) const override {
    if (const auto* added = added_.find(id)) return added->content;
    const std::string* token = model_.id_to_token(id);
    return token != nullptr ? std::optional(*token) : std::nullopt;
  }
  bool is_special(int32_t id) const override {
    const auto* added = added_.find(id);
    return added != nullptr && added->special;
  }
  std::string token_bytes(int32_t id, bool is_first) const override {
    const std::string* token = visible_token(id, /*skip_special=*/true);
    if (token == nullptr) return {};
    std::optional<std::string> bytes = decoder_.token_bytes(*token, is_first);
    check(bytes.has_value(),
          "the decoder of the tokenizer looks at several tokens at a time, so that a token has no text of its own");
    return *std::move(bytes);
  }
  int64_t vocab_size() const override {
    return std::max({model_.vocab_size(), added_.vocab_size(), post_processor_.vocab_size()});
  }

 private:
  class Stream final : public DecodeStream {
   public:
    Stream(const JsonTokenizer& owner, bool skip_special) : owner_(owner), skip_special_(skip_special), run_(owner.decoder_) {}
    void push(int32_t id, std::string& out) override {
      const std::string* token = owner_.visible_token(id, skip_special_);
      if (token != nullptr) run_.push(*token, out);
    }
    void finish(std::string& out) override { run_.finish(out); }

   private:
    const JsonTokenizer& owner_;
    bool skip_special_;
    text::Decoder::Run run_;
  };

  // What the decoder gets of an id; null: nothing.
  const std::string* visible_token(int32_t id, bool skip_special) const {
    const auto* added = added_.find(id);
    const std::string* token = added != nullptr ? &added->pattern : model_.id_to_token(id);
    return token == nullptr || (skip_special && added_.is_special(*token)) ? nullptr : token;
  }

  std::vector<int32_t> encode_pieces(const text::PieceList& list) const {
    std::vector<int32_t> ids;
    ids.reserve(list.text.size() / 4 + 1);
    text::BpeModel::Workspace work;
    // Words repeat: where the tokens of a stretch were written before. Worth its cost in longer texts only.
    StringViewMap remembered;
    const bool remember = list.text.size() > kMinTextToRemember;
    const auto encode = [&](std::string_view stretch) {
      if (!remember || stretch.size() > kMaxRememberedBytes) return model_.encode(stretch, work, ids);
      if (const auto it = remembered.find(stretch); it != remembered.end()) {
        const auto [begin, count] = it->second;
        for (size_t i = 0; i < count; ++i) ids.push_back(ids[begin + i]);
        return;
      }
      const size_t begin = ids.size();
      model_.encode(stretch, work, ids);
      if (remembered.size() < kMaxRememberedPieces) remembered.emplace(stretch, std::pair(begin, ids.size() - begin));
    };
    for (const text::Piece& piece : list.pieces) {
      const std::string_view view = list.view(piece);
      if (piece.added_id >= 0) {
        ids.push_back(piece.added_id);
      } else if (const auto whole = model_.whole_token(view)) {
        ids.push_back(*whole);
      } else if (view.size() <= kMaxWordBytes) {
        encode(view);
      } else {
        for (size_t begin = 0; begin < view.size();) {
          const size_t end = model_.stretch_end(view, begin);
          encode(view.substr(begin, end - begin));
          begin = end;
        }
      }
    }
    return ids;
  }

  using StringViewMap = std::unordered_map<std::string_view, std::pair<size_t, size_t>>;

  std::unique_ptr<text::Normalizer> normalizer_;
  text::BpeModel model_;
  text::AddedTokens added_;
  std::unique_ptr<text::PreTokenizer> pre_tokenizer_;
  text::PostProcessor post_processor_;
  text::Decoder decoder_;
};

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  const auto file = leads_to_directory(path) ? path / "tokenizer.json" : path;
  return parse(text::read_file(file, "give --tokenizer a tokenizer.json or the directory that holds one"), file.string());
}

std::unique_ptr<Tokenizer> Tokenizer::parse(std::string_view content, const std::string& name) {
  const nlohmann::json json = text::parse_json(content, name);
  return std::make_unique<JsonTokenizer>(Component(json, name));
}

}  // namespace lockstep
