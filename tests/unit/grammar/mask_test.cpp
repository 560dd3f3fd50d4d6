// Masks against brute force: a token is allowed if and only if the grammar takes its bytes one by one.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "support/token_list.h"

namespace lockstep::test {
namespace {

using grammar::CompiledGrammar;
using grammar::GrammarCompiler;
using grammar::GrammarMatcher;
using grammar::Position;
using grammar::StackPool;
using grammar::Stepper;
using grammar::TokenMask;

const char* const kTree = R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["name", "below"],
    "properties": {"name": {"type": "string", "maxLength": 5}, "value": {"type": ["integer", "null"], "minimum": -3, "maximum": 120},
                   "below": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/node"}, {"enum": ["a", "ab", {"b": [1]}]}]}}},
    "additionalProperties": {"type": "number"}}}})";

std::vector<GrammarSpec> specs() {
  std::vector<GrammarSpec> all = {{GrammarKind::kJsonObject, ""}, {GrammarKind::kJsonSchema, kTree}};
  for (const char* regex : {"[a-z]+( [a-z]+)*", "(\xC3\xA9|\xE4\xB8\x96|x){2,5}", ".*", "-?[0-9]{1,3}(\\.[0-9]+)?",
                            "(true|false|null)", "\\{\"name\": \"[^\"\\\\]*\"\\}", "a*b?", "[^a-z]{3}"}) {
    all.push_back({GrammarKind::kRegex, regex});
  }
  return all;
}

TEST(GrammarMask, IsThatOfBruteForceAlongRandomTexts) {
  for (const bool drops_blank : {false, true}) {
    const TokenList tokenizer(json_tokens(300, 5), drops_blank);
    // Two ids more than the tokenizer knows, as where a vocabulary is padded.
    const int64_t size = tokenizer.vocab_size() + 2;
    GrammarCompiler compiler(tokenizer, size, {0});
    std::mt19937_64 random(11);
    for (const GrammarSpec& spec : specs()) {
      const grammar::Grammar reference = grammar::compile_grammar(spec, compiler.vocabulary()->alphabet());
      StackPool stacks;
      Stepper stepper(reference, stacks);
      for (int text = 0; text < 8; ++text) {
        GrammarMatcher matcher(compiler.compile(spec, {0}));
        Position position = stepper.start();
        for (int i = 0; i < 25 && !matcher.is_complete(); ++i) {
          const std::shared_ptr<const TokenMask> mask = matcher.mask();
          std::vector<int32_t> allowed;
          for (int32_t token = 0; token < size; ++token) {
            const std::string bytes = tokenizer.token_bytes(token, i == 0);
            Position after = position;
            const bool expected = token == 0 ? position.may_end : !bytes.empty() && stepper.advance(after, bytes);
            ASSERT_EQ(mask->allows(token), expected) << spec.text << ": token " << token << " '" << bytes << "' as number " << i;
            if (expected && token != 0) allowed.push_back(token);
          }
          ASSERT_EQ(matcher.may_end(), position.may_end);
          ASSERT_FALSE(allowed.empty()) << spec.text;
          // Long tokens rather than single bytes, or nothing of interest would come.
          int32_t token = allowed[random() % allowed.size()];
          for (int tries = 0; tries < 4 && token < 257; ++tries) token = allowed[random() % allowed.size()];
          matcher.accept(token);
          ASSERT_TRUE(stepper.advance(position, tokenizer.token_bytes(token, i == 0)));
        }
      }
    }
  }
}

TEST(GrammarMask, TextsThatComeToTheirEndAreJsonOfTheForm) {
  const TokenList tokenizer(json_tokens(400, 6));
  GrammarCompiler compiler(tokenizer, tokenizer.vocab_size(), {0});
  std::mt19937_64 random(12);
  int ended = 0;
  for (int i = 0; i < 200; ++i) {
    GrammarMatcher matcher(compiler.compile({GrammarKind::kJsonSchema, kTree}, {0}));
    std::string text;
    if (!random_walk(matcher, tokenizer, 60, random, text)) continue;
    ++ended;
    const nlohmann::json value = nlohmann::json::parse(text);
    EXPECT_TRUE(value.at("name").is_string()) << text;
    EXPECT_TRUE(value.at("below").is_array()) << text;
  }
  EXPECT_GT(ended, 20);
}

TEST(GrammarMask, IsKeptAndSharedAndBounded) {
  const TokenList tokenizer(json_tokens(300, 7));
  GrammarCompiler compiler(tokenizer, tokenizer.vocab_size(), {0});
  const auto compiled = compiler.compile({GrammarKind::kJsonObject, ""}, {0});
  EXPECT_EQ(compiler.compile({GrammarKind::kJsonObject, ""}, {0}), compiled);
  EXPECT_NE(compiler.compile({GrammarKind::kJsonObject, ""}, {}), compiled) << "another end is another grammar";
  GrammarMatcher a(compiled), b(compiled);
  const auto mask = a.mask();
  EXPECT_EQ(b.mask()->id, mask->id);
  EXPECT_FALSE(mask->allows(0));
  EXPECT_TRUE(mask->allows(1 + '{'));
  EXPECT_FALSE(mask->allows(1 + '['));
  EXPECT_THROW(a.accept(1 + '['), Error);
}

TEST(GrammarMask, WithoutEndTokensACompleteTextHasNoMaskLeft) {
  const TokenList tokenizer({"", "a", "b", "ab"});
  GrammarCompiler compiler(tokenizer, 4, {0});
  GrammarMatcher matcher(compiler.compile({GrammarKind::kRegex, "ab+"}, {}));
  EXPECT_EQ(matcher.mask()->words, std::vector<uint32_t>{0b1010});
  matcher.accept(3);
  EXPECT_TRUE(matcher.may_end());
  EXPECT_FALSE(matcher.is_complete());
  EXPECT_EQ(matcher.mask()->words, std::vector<uint32_t>{0b0100});
}

TEST(GrammarMask, WhatTheTokensCannotSpellIsLeftOutOrRefused) {
  const TokenList tokenizer({"", "a", "b", "cd"});  // "c" and "d" are no tokens
  GrammarCompiler compiler(tokenizer, 4, {0});
  GrammarMatcher matcher(compiler.compile({GrammarKind::kRegex, "a[bc]"}, {0}));
  matcher.accept(1);
  EXPECT_EQ(matcher.mask()->words, std::vector<uint32_t>{0b0100});
  matcher.accept(2);
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_THROW(compiler.compile({GrammarKind::kRegex, "acd"}, {0}), Error);
  const TokenList drops({"", " ", "a"}, /*first_drops_blank=*/true);
  GrammarCompiler other(drops, 3, {0});
  EXPECT_THROW(other.compile({GrammarKind::kRegex, " a"}, {0}), Error) << "no text of these tokens begins with a blank";
}

}  // namespace
}  // namespace lockstep::test
