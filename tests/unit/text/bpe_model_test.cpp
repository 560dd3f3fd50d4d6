// Byte pair encoding by itself: against the definition, in stretches and whole, and its cost.
#include "text/bpe_model.h"

#include <gtest/gtest.h>

#include <ctime>
#include <limits>
#include <random>

#include "support.h"
#include "text/utf8.h"

namespace lockstep {
namespace {

using nlohmann::json;
using text::BpeModel;
using Ids = std::vector<int32_t>;

Ids encode(const BpeModel& model, std::string_view piece) {
  Ids ids;
  BpeModel::Workspace work;
  model.encode(piece, work, ids);
  return ids;
}

Ids encode_in_stretches(const BpeModel& model, std::string_view piece, size_t& stretches) {
  Ids ids;
  BpeModel::Workspace work;
  for (size_t begin = 0; begin < piece.size(); ++stretches) {
    const size_t end = model.stretch_end(piece, begin);
    EXPECT_GT(end, begin);
    model.encode(piece.substr(begin, end - begin), work, ids);
    begin = end;
  }
  return ids;
}

// A model over the letters from 'a' on with random merges.
json random_model(std::mt19937& random, int letters, int num_merges) {
  json vocab;
  std::vector<std::string> tokens;
  const auto add = [&](const std::string& token) {
    if (vocab.contains(token)) return;
    vocab[token] = tokens.size();
    tokens.push_back(token);
  };
  for (int i = 0; i < letters; ++i) add(std::string(1, static_cast<char>('a' + i)));
  json merges = json::array();
  for (int i = 0; i < num_merges; ++i) {
    const std::string left = tokens[random() % tokens.size()], right = tokens[random() % tokens.size()];
    if (left.size() + right.size() > 6) continue;
    merges.push_back({left, right});
    add(left + right);
  }
  return {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
}

// The definition: as long as there is a merge, do that of the lowest rank, the leftmost of them.
Ids encode_by_definition(const json& model, const std::string& piece) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < model["merges"].size(); ++i) ranks[{model["merges"][i][0], model["merges"][i][1]}] = i;
  std::vector<std::string> symbols;
  for (const char c : piece) {
    if (model["vocab"].contains(std::string(1, c))) symbols.emplace_back(1, c);
  }
  while (true) {
    size_t best = symbols.size(), best_rank = std::numeric_limits<size_t>::max();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = ranks.find({symbols[i], symbols[i + 1]});
      if (it != ranks.end() && it->second < best_rank) best = i, best_rank = it->second;
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& s : symbols) ids.push_back(model["vocab"][s]);
  return ids;
}

TEST(BpeModel, AgreesWithTheDefinitionWholeAndInStretches) {
  std::mt19937 random(1);
  size_t stretches = 0, pieces = 0;
  for (int round = 0; round < 60; ++round) {
    const int letters = 2 + static_cast<int>(random() % 8);
    const json description = random_model(random, letters, 4 + static_cast<int>(random() % 40));
    const BpeModel model(text::Component(description, "model"));
    for (int i = 0; i < 40; ++i) {
      std::string piece;
      // One letter more than the model knows: it vanishes, and its neighbours may merge.
      for (size_t n = 1 + random() % 30; n > 0; --n)
        piece += static_cast<char>('a' + random() % static_cast<size_t>(letters + 1));
      const Ids expected = encode_by_definition(description, piece);
      EXPECT_EQ(encode(model, piece), expected) << description << piece;
      EXPECT_EQ(encode_in_stretches(model, piece, stretches), expected) << description << piece;
      ++pieces;
    }
  }
  EXPECT_GT(stretches, pieces + pieces / 4);  // or the test would say nothing
}

TEST(BpeModel, StretchesOfRealFamilies) {
  std::mt19937 random(2);
  const auto texts = testing::read_json("tokenizer_cases.json")["texts"].get<std::vector<std::string>>();
  for (const char* family : {"llama2", "mistral", "unknown", "smollm2", "metaspace"}) {
    const json description = testing::read_json(std::string(family) + ".tokenizer.json")["model"];
    const BpeModel model(text::Component(description, "model"));
    size_t stretches = 0;
    for (int i = 0; i < 300; ++i) {
      std::string piece;
      for (int part = 0; part < 4; ++part) {
        for (const char c : texts[random() % texts.size()]) piece += c == ' ' ? "\xE2\x96\x81" : std::string(1, c);
      }
      if (piece.empty()) continue;
      EXPECT_EQ(encode_in_stretches(model, piece, stretches), encode(model, piece)) << family << piece;
    }
    EXPECT_GT(stretches, 1000u) << family;
  }
}

TEST(BpeModel, AffixesOfWords) {
  const json description =
      json::parse(R"({"type": "BPE", "unk_token": "<unk>", "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>",
    "vocab": {"<unk>": 0, "a": 1, "##b": 2, "##c</w>": 3, "a</w>": 4, "##bc</w>": 5, "abc</w>": 6}, "merges": [["##b", "##c</w>"], ["a", "##bc</w>"]]})");
  const BpeModel model(text::Component(description, "model"));
  EXPECT_EQ(encode(model, "a"), (Ids{4}));
  EXPECT_EQ(encode(model, "abc"), (Ids{6}));
  EXPECT_EQ(encode(model, "abbc"), (Ids{1, 2, 5}));
  EXPECT_EQ(encode(model, "ca"), (Ids{0, 0}));
  EXPECT_EQ(model.stretch_end("abcabc", 0), 6u);
}

// Eight times the text must take about eight times as long, not 64 times; the letters are such that every pair may merge.
TEST(BpeModel, IsNotQuadratic) {
  std::mt19937 random(3);
  const json description = random_model(random, 3, 400);
  const BpeModel model(text::Component(description, "model"));
  for (const int letters : {1, 3}) {
    std::string piece;
    for (int i = 0; i < 4 << 20; ++i) piece += static_cast<char>('a' + random() % static_cast<size_t>(letters));
    const auto seconds = [&](size_t n) {  // of this process, whatever else runs on the machine
      const std::clock_t start = std::clock();
      EXPECT_GT(encode(model, std::string_view(piece).substr(0, n)).size(), n / 8);
      return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    };
    const double small = std::min(seconds(piece.size() / 8), seconds(piece.size() / 8));
    const double large = seconds(piece.size());
    EXPECT_LT(large, 30 * small + 0.5) << letters;
  }
}

}  // namespace
}  // namespace lockstep
