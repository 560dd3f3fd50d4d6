// tokenizer.json is hostile input: what we do not support or understand is refused, and the message says what and where.
#include <gtest/gtest.h>

#include <functional>

#include "support.h"
#include "text/tokenizer.h"

namespace lockstep {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::expect_mentions;

json small() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
  })");
}

std::unique_ptr<Tokenizer> load(const std::string& content) {
  testing::TemporaryDirectory directory;
  directory.write("tokenizer.json", content);
  return Tokenizer::load(directory.path());
}

std::string refusal(const std::function<void(json&)>& change) {
  json j = small();
  change(j);
  return error_of([&] { load(j.dump()); });
}

TEST(TokenizerRefusal, TheUnchangedFileIsFine) {
  const auto tokenizer = load(small().dump());
  EXPECT_EQ(tokenizer->encode("aba", true), (std::vector<int32_t>{3, 2, 0}));
  EXPECT_EQ(tokenizer->vocab_size(), 4);
}

TEST(TokenizerRefusal, NamesComponentsThatAreNotSupported) {
  expect_mentions(refusal([](json& j) {
                    j["normalizer"] = {{"type", "BertNormalizer"}};
                  }),
                  {"tokenizer.json", "normalizer", "BertNormalizer", "NFC"});
  expect_mentions(refusal([](json& j) {
                    j["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
                  }),
                  {"pre_tokenizer", "UnicodeScripts", "ByteLevel"});
  expect_mentions(refusal([](json& j) {
                    j["post_processor"] = {{"type", "Other"}};
                  }),
                  {"post_processor", "Other", "TemplateProcessing"});
  expect_mentions(refusal([](json& j) { j["decoder"] = {{"type", "CTC"}}; }), {"decoder", "CTC", "ByteFallback"});
  expect_mentions(refusal([](json& j) { j["model"]["type"] = "Unigram"; }), {"model", "Unigram", "BPE"});
  expect_mentions(
      refusal([](json& j) {
        j["pre_tokenizer"] = json::parse(
            R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"UnicodeScripts"}]})");
      }),
      {"pre_tokenizer.pretokenizers[1]", "UnicodeScripts"});
  expect_mentions(refusal([](json& j) { j["version"] = "2.0"; }), {"version", "2.0"});
  expect_mentions(refusal([](json& j) { j["extra"] = 1; }), {"extra"});
}

TEST(TokenizerRefusal, NamesFieldsAndValuesThatAreNotSupported) {
  expect_mentions(refusal([](json& j) { j["model"]["dropout"] = 0.1; }), {"model", "dropout", "0.1"});
  expect_mentions(refusal([](json& j) { j["model"]["end_of_word_suffix"] = std::string(1000, 'w'); }), {"end_of_word_suffix"});
  expect_mentions(refusal([](json& j) { j["model"]["continuing_subword_prefix"] = "##"; }),
                  {"merges", "continuing_subword_prefix", "##"});
  expect_mentions(refusal([](json& j) {
                    j["post_processor"] = json::parse(R"({"type":"BertProcessing","sep":["</s>",-1],"cls":["<s>",3]})");
                  }),
                  {"post_processor.sep", "-1"});
  expect_mentions(refusal([](json& j) { j["post_processor"]["single"].push_back(j["post_processor"]["single"][1]); }),
                  {"single[2]", "twice"});
  expect_mentions(refusal([](json& j) { j["model"]["new_option"] = true; }), {"model", "new_option"});
  expect_mentions(refusal([](json& j) { j["model"]["fuse_unk"] = 1; }), {"fuse_unk", "true or false"});
  expect_mentions(refusal([](json& j) { j["pre_tokenizer"]["use_regex"] = "yes"; }), {"pre_tokenizer", "use_regex"});
  expect_mentions(refusal([](json& j) {
                    j["pre_tokenizer"] =
                        json::parse(R"({"type":"Split","pattern":{"String":"x"},"behavior":"Odd","invert":false})");
                  }),
                  {"behavior", "Odd", "Isolated"});
  expect_mentions(refusal([](json& j) {
                    j["pre_tokenizer"] =
                        json::parse(R"({"type":"Split","pattern":{"Regex":"["},"behavior":"Isolated","invert":false})");
                  }),
                  {"pre_tokenizer", "'['"});
  expect_mentions(refusal([](json& j) {
                    j["pre_tokenizer"] =
                        json::parse(R"({"type":"Split","pattern":{"String":""},"behavior":"Isolated","invert":false})");
                  }),
                  {"empty"});
  expect_mentions(refusal([](json& j) { j["pre_tokenizer"] = json::parse(R"({"type":"Metaspace","replacement":"ab"})"); }),
                  {"replacement", "ab"});
  expect_mentions(refusal([](json& j) {
                    j["pre_tokenizer"] = json::parse(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"last"})");
                  }),
                  {"prepend_scheme", "last"});
  expect_mentions(refusal([](json& j) { j["decoder"] = json::parse(R"({"type":"Strip","content":" ","start":-1,"stop":0})"); }),
                  {"start", "-1"});
  expect_mentions(refusal([](json& j) { j["post_processor"]["single"][1]["Sequence"]["id"] = "B"; }), {"single[1]", "'B'"});
  expect_mentions(refusal([](json& j) { j["post_processor"]["single"][0]["SpecialToken"]["id"] = "<x>"; }),
                  {"special_tokens", "<x>"});
}

TEST(TokenizerRefusal, IdsThatContradictEachOtherOrAreOutOfRange) {
  expect_mentions(refusal([](json& j) { j["model"]["vocab"]["b"] = 0; }), {"vocab", "same id 0"});
  expect_mentions(refusal([](json& j) { j["model"]["vocab"]["b"] = -1; }), {"vocab", "'b'", "-1"});
  expect_mentions(refusal([](json& j) { j["model"]["vocab"]["b"] = 1.5; }), {"vocab", "1.5"});
  expect_mentions(refusal([](json& j) { j["model"]["vocab"]["b"] = 4294967296; }), {"vocab", "4294967296"});
  expect_mentions(refusal([](json& j) { j["model"]["vocab"]["b"] = 2000000000; }), {"vocab", "2000000000"});
  expect_mentions(refusal([](json& j) { j["added_tokens"][0]["id"] = 1; }), {"added_tokens[0]", "<s>", "'b'"});
  expect_mentions(refusal([](json& j) { j["added_tokens"][0]["content"] = "ab"; }), {"added_tokens[0]", "'ab'", "id 2"});
  expect_mentions(refusal([](json& j) { j["added_tokens"][0]["id"] = 18446744073709551615ULL; }), {"added_tokens[0]", "id"});
  expect_mentions(refusal([](json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); }), {"added_tokens[1]", "id 3"});
  expect_mentions(refusal([](json& j) {
                    j["added_tokens"].push_back(j["added_tokens"][0]);
                    j["added_tokens"][1]["id"] = 4;
                  }),
                  {"added_tokens[1]", "'<s>'"});
  expect_mentions(refusal([](json& j) { j["post_processor"]["special_tokens"]["<s>"]["ids"] = {-3}; }), {"ids", "-3"});
}

// `tokenizers` would silently give such tokens another id than the file says.
TEST(TokenizerRefusal, AddedTokensThatDoNotFollowOn) {
  expect_mentions(refusal([](json& j) {
                    j["added_tokens"][0]["id"] = 7;
                    j["post_processor"] = nullptr;
                  }),
                  {"added token '<s>'", "id 7", "number it 3"});
  expect_mentions(refusal([](json& j) { j["model"]["vocab"]["c"] = 9; }), {"added token '<s>'", "id 3", "number it 4"});
  // In any order, and a vocabulary with holes by itself is fine.
  json j = small();
  j["added_tokens"].push_back(j["added_tokens"][0]);
  j["added_tokens"][0]["content"] = "<t>";
  j["added_tokens"][0]["id"] = 4;
  EXPECT_EQ(load(j.dump())->token_to_id("<t>"), 4);
  j = small();
  j["added_tokens"] = json::array();
  j["model"]["vocab"]["c"] = 9;
  EXPECT_EQ(load(j.dump())->vocab_size(), 10);
}

TEST(TokenizerRefusal, AddedTokensWithoutBound) {
  expect_mentions(refusal([](json& j) { j["added_tokens"][0]["content"] = std::string(5000, 'x'); }),
                  {"added_tokens[0]", "5000"});
  expect_mentions(refusal([](json& j) {
                    json token = j["added_tokens"][0];
                    for (int i = 0; i < 10000; ++i) {
                      token["id"] = 4 + i;
                      token["content"] = std::to_string(i) + std::string(500, 'x');
                      j["added_tokens"].push_back(token);
                    }
                  }),
                  {"added_tokens[", "bytes together"});
}

TEST(TokenizerRefusal, KeysThatOccurTwice) {
  expect_mentions(error_of([] { load(R"({"version": "1.0", "version": "1.0"})"); }), {"tokenizer.json", "'version'", "twice"});
  expect_mentions(error_of([] { load(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "\u0061": 2}, "merges": []}})"); }),
                  {"tokenizer.json", "'a'", "twice"});
}

TEST(TokenizerRefusal, ARegularExpressionThatExplodes) {
  json j = small();
  j["pre_tokenizer"] =
      json::parse(R"({"type":"Split","pattern":{"Regex":"(?:a+)+(?:a+)+(?:a+)+$"},"behavior":"Isolated","invert":false})");
  const auto tokenizer = load(j.dump());
  EXPECT_EQ(tokenizer->encode("ab", false), (std::vector<int32_t>{2}));
  expect_mentions(error_of([&] { tokenizer->encode(std::string(5000, 'a') + "b", false); }),
                  {"pre_tokenizer", "(?:a+)+", "gives up"});
}

TEST(TokenizerRefusal, MergesOfUnknownTokens) {
  expect_mentions(refusal([](json& j) { j["model"]["merges"] = {"a c"}; }), {"merges", "'c'", "not in vocab"});
  expect_mentions(refusal([](json& j) { j["model"]["merges"] = {"b a"}; }), {"merges", "'ba'", "not in vocab"});
  expect_mentions(refusal([](json& j) { j["model"]["merges"] = {"ab"}; }), {"merges[0]", "'ab'"});
  expect_mentions(refusal([](json& j) { j["model"]["merges"] = {"a b c"}; }), {"merges[0]"});
  expect_mentions(refusal([](json& j) { j["model"]["merges"] = json::parse(R"([["a"]])"); }), {"merges[0]"});
  expect_mentions(refusal([](json& j) { j["model"].erase("merges"); }), {"merges", "missing"});
  expect_mentions(refusal([](json& j) { j["model"]["vocab"] = json::array(); }), {"vocab", "array"});
}

TEST(TokenizerRefusal, BrokenFiles) {
  EXPECT_FALSE(error_of([] { Tokenizer::load("/no/such/directory"); }).empty());
  expect_mentions(error_of([] { load("{"); }), {"tokenizer.json", "JSON"});
  expect_mentions(error_of([] { load(""); }), {"tokenizer.json", "JSON"});
  expect_mentions(error_of([] { load("[]"); }), {"tokenizer.json", "array"});
  expect_mentions(error_of([] { load("{}"); }), {"model", "missing"});
  expect_mentions(error_of([] { load("{\"model\": \"\xff\"}"); }), {"JSON"});
  // Nesting that would overflow the stack of a recursive reader.
  const std::string open(100000, '[');
  EXPECT_FALSE(error_of([&] { load(open); }).empty());
  EXPECT_FALSE(error_of([&] { load("{\"model\":" + open + std::string(100000, ']') + "}"); }).empty());
  json nested = {{"type", "NFC"}};
  for (int i = 0; i < 24; ++i) nested = {{"type", "Sequence"}, {"normalizers", {nested}}};
  expect_mentions(refusal([&](json& j) { j["normalizer"] = nested; }), {"normalizer", "nested"});
}

TEST(TokenizerRefusal, EveryTruncatedFile) {
  const std::string content = small().dump();
  for (size_t n = 0; n < content.size(); n += 7) EXPECT_FALSE(error_of([&] { load(content.substr(0, n)); }).empty()) << n;
}

TEST(TokenizerRefusal, ACharacterThatNeedsAMissingUnknownToken) {
  json j = small();
  j["model"]["unk_token"] = "<unk>";
  j["pre_tokenizer"] = nullptr;
  const auto tokenizer = load(j.dump());
  EXPECT_EQ(tokenizer->encode("ab", false), (std::vector<int32_t>{2}));
  expect_mentions(error_of([&] { tokenizer->encode("x", false); }), {"unk_token", "<unk>", "'x'"});
}

}  // namespace
}  // namespace lockstep
