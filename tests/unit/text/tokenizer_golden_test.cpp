// Ids and texts must be those of Hugging Face's `tokenizers`, family by family (scripts/golden/make_tokenizer_golden.py;
// "family_…": tests/tokenizer/make_golden.py, from the configurations as published).
#include <gtest/gtest.h>

#include <set>

#include "support.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace lockstep {
namespace {

using testing::read_json;

class TokenizerGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    tokenizer_ = Tokenizer::load(testing::data_directory() / (std::string(GetParam()) + ".tokenizer.json"));
    const bool is_published = std::string_view(GetParam()).starts_with("family_");
    const auto cases = read_json(is_published ? "family_cases.json" : "tokenizer_cases.json");
    texts_ = cases.at("texts").get<std::vector<std::string>>();
    golden_ = cases.at("families").at(GetParam());
    ASSERT_EQ(golden_.at("encoded").size(), texts_.size());
  }

  // decode() of the ids must give `expected`, and a Detokenizer the same, in pieces of whole characters.
  void expect_text(const std::vector<int32_t>& ids, bool skip_special, const std::string& expected) const {
    EXPECT_EQ(tokenizer_->decode(ids, skip_special), expected) << ::testing::PrintToString(ids);
    Detokenizer detokenizer(*tokenizer_, skip_special);
    for (int round = 0; round < 2; ++round) {  // finish() makes it ready for the next text
      std::string streamed;
      for (const int32_t id : ids) {
        const std::string piece = detokenizer.push(id);
        EXPECT_TRUE(text::is_valid_utf8(piece)) << ::testing::PrintToString(ids);
        streamed += piece;
      }
      streamed += detokenizer.finish();
      EXPECT_EQ(streamed, expected) << ::testing::PrintToString(ids);
    }
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::string> texts_;
  nlohmann::json golden_;
};

TEST_P(TokenizerGolden, Encodes) {
  for (size_t i = 0; i < texts_.size(); ++i) {
    EXPECT_EQ(tokenizer_->encode(texts_[i], false), golden_["encoded"][i].get<std::vector<int32_t>>())
        << "text " << i << ": " << texts_[i];
  }
}

TEST_P(TokenizerGolden, AddsSpecialTokens) {
  EXPECT_EQ(tokenizer_->encode("x", true), golden_["special"].get<std::vector<int32_t>>());
}

TEST_P(TokenizerGolden, DecodesWhatItEncoded) {
  for (size_t i = 0; i < texts_.size(); ++i) {
    const auto ids = golden_["encoded"][i].get<std::vector<int32_t>>();
    const auto& decoded = golden_["decoded"][i];
    for (const bool skip : {false, true})
      expect_text(ids, skip, decoded.is_null() ? texts_[i] : decoded[skip].get<std::string>());
  }
}

TEST_P(TokenizerGolden, DecodesAnyIds) {
  for (size_t i = 0; i < golden_["random_ids"].size(); ++i) {
    const auto ids = golden_["random_ids"][i].get<std::vector<int32_t>>();
    for (const bool skip : {false, true}) expect_text(ids, skip, golden_["random_decoded"][i][skip].get<std::string>());
  }
}

TEST_P(TokenizerGolden, NamesItsTokens) {
  int64_t found = 0;
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    const auto token = tokenizer_->id_to_token(id);
    if (!token) continue;
    ++found;
    EXPECT_EQ(tokenizer_->token_to_id(*token), id);
  }
  EXPECT_GT(found, 100);
  EXPECT_TRUE(tokenizer_->id_to_token(static_cast<int32_t>(tokenizer_->vocab_size() - 1)));
  EXPECT_FALSE(tokenizer_->id_to_token(static_cast<int32_t>(tokenizer_->vocab_size())));
  EXPECT_FALSE(tokenizer_->id_to_token(-1));
  EXPECT_FALSE(tokenizer_->token_to_id("no such token"));
  std::set<int32_t> special;
  const auto description = read_json(std::string(GetParam()) + ".tokenizer.json");
  for (const auto& t : description["added_tokens"]) {
    if (t["special"]) special.insert(t["id"].get<int32_t>());
  }
  EXPECT_FALSE(special.empty());
  for (int32_t id = -1; id <= tokenizer_->vocab_size(); ++id) EXPECT_EQ(tokenizer_->is_special(id), special.contains(id)) << id;
}

// More than 64 pieces: words that were seen before are not encoded anew.
TEST(TokenizerGoldenTogether, ALongTextIsEncodedLikeItsParts) {
  const auto cases = read_json("tokenizer_cases.json");
  for (const std::string family : {"gpt2", "smollm2", "llama3", "qwen2", "o200k", "deepseek", "splits"}) {
    const auto tokenizer = Tokenizer::load(testing::data_directory() / (family + ".tokenizer.json"));
    const std::string separator = "<|endoftext|>";
    const auto id = tokenizer->token_to_id(separator);
    ASSERT_TRUE(id);
    std::string all;
    std::vector<int32_t> expected;
    for (int round = 0; round < 3; ++round) {
      for (size_t i = 0; i < cases["texts"].size(); ++i) {
        all += cases["texts"][i].get<std::string>() + separator;
        for (const auto& e : cases["families"][family]["encoded"][i]) expected.push_back(e.get<int32_t>());
        expected.push_back(*id);
      }
    }
    EXPECT_EQ(tokenizer->encode(all, false), expected) << family;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerGolden,
                         ::testing::Values("gpt2", "smollm2", "llama3", "qwen2", "o200k", "deepseek", "llama2", "mistral",
                                           "metaspace", "unknown", "splits", "added_tokens"),
                         [](const auto& info) { return std::string(info.param); });

INSTANTIATE_TEST_SUITE_P(Published, TokenizerGolden,
                         ::testing::Values("family_bloom", "family_bytes_normalized", "family_clip", "family_deepseek_v2",
                                           "family_deepseek_v3", "family_falcon", "family_gemma", "family_gpt_oss", "family_kimi",
                                           "family_phi2", "family_phi3", "family_phi4", "family_pieces", "family_qwen3",
                                           "family_qwen3_5", "family_roberta", "family_subwords", "family_tekken",
                                           "family_uncommon", "family_words", "family_xlm"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep
