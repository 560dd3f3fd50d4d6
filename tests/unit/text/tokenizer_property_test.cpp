// What holds for every text: invalid UTF-8, long runs, text in pieces, parts of the pipeline by themselves.
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "support.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace lockstep {
namespace {

using testing::error_of;
using testing::expect_mentions;

std::unique_ptr<Tokenizer> load(const std::string& family) {
  return Tokenizer::load(testing::data_directory() / (family + ".tokenizer.json"));
}

TEST(Utf8, RepairsAsPythonDoes) {
  const std::string r = "\xEF\xBF\xBD";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"abc", "abc"},
      {"\xff", r},
      {"a\x80z", "a" + r + "z"},
      {"\xC3\xA9", "\xC3\xA9"},
      {"\xC3", r},
      {"\xC3(", r + "("},
      {"\xC0\xAF", r + r},          // overlong
      {"\xE0\x80\x80", r + r + r},  // overlong
      {"\xED\xA0\x80", r + r + r},  // a surrogate
      {"\xE2\x82", r},              // one maximal subpart
      {"\xE2\x82\x28", r + "("},
      {"\xF0\x9F\x98", r},
      {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", r + "\xF0\x9F\x98\x80"},
      {"\xF4\x90\x80\x80", r + r + r + r},  // above U+10FFFF
      {"\xF5\x80", r + r},
      {"\xE2\x82\xAC\xE2\x82", "\xE2\x82\xAC" + r},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(text::repair_utf8(bytes), expected) << ::testing::PrintToString(bytes);
    text::Utf8Repairer repairer;  // byte by byte
    std::string out;
    for (const char b : bytes) repairer.push(std::string_view(&b, 1), out);
    repairer.finish(out);
    EXPECT_EQ(out, expected) << ::testing::PrintToString(bytes);
  }
}

TEST(Utf8, CodePointsGoInAndOut) {
  for (char32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string s;
    text::append_code_point(s, c);
    EXPECT_TRUE(text::is_valid_utf8(s));
    size_t i = 0;
    EXPECT_EQ(text::next_code_point(s, i), c);
    EXPECT_EQ(i, s.size());
    EXPECT_EQ(text::utf8_length(s[0]), s.size());
  }
}

TEST(Unicode, KnowsCharactersNewerThanTheLibraries) {
  EXPECT_TRUE(text::is_numeric(0x10D40));  // Garay digit, Unicode 16
  EXPECT_TRUE(text::is_numeric(0x11DE0));  // Unicode 17
  EXPECT_TRUE(text::is_numeric(0xBD));
  EXPECT_FALSE(text::is_numeric('x'));
  EXPECT_TRUE(text::is_word(0x31350));  // an ideograph of extension H, Unicode 15
  EXPECT_TRUE(text::is_word(0x24B6));
  EXPECT_FALSE(text::is_word(0x2028));
  EXPECT_TRUE(text::is_white_space(0x2028));
  EXPECT_FALSE(text::is_white_space(0x180E));
}

TEST(Regex, TranslatesWhatDiffers) {
  const auto matches = [](const char* pattern, std::string_view subject) {
    std::vector<text::Match> found;
    text::make_regex(pattern, "test")->find(subject, found);
    std::vector<std::string> out;
    for (const auto& m : found) out.push_back((m.is_match ? "+" : "-") + std::string(subject.substr(m.begin, m.end - m.begin)));
    return out;
  };
  using Strings = std::vector<std::string>;
  EXPECT_EQ(matches("\\s+", "a \xC2\x85\xE1\xA0\x8E b"), (Strings{"-a", "+ \xC2\x85", "-\xE1\xA0\x8E", "+ ", "-b"}));
  EXPECT_EQ(matches("[^\\S\\n]+", "a \n b"), (Strings{"-a", "+ ", "-\n", "+ ", "-b"}));
  EXPECT_EQ(matches("\\p{L}+", "x\xF0\xB1\x8D\x90.y"), (Strings{"+x\xF0\xB1\x8D\x90", "-.", "+y"}));
  EXPECT_EQ(matches("[^\\p{L}]+", "x\xF0\xB1\x8D\x90.y"), (Strings{"-x\xF0\xB1\x8D\x90", "+.", "-y"}));
  EXPECT_EQ(matches("\\P{L}+", "x.y"), (Strings{"-x", "+.", "-y"}));
  EXPECT_EQ(matches("\\v", "a\n\x0B"), (Strings{"-a\n", "+\x0B"}));
  EXPECT_EQ(matches("(?i:'S)", "'s'S'\xC5\xBF"), (Strings{"+'s", "+'S", "+'\xC5\xBF"}));
  EXPECT_EQ(matches("$", "a\nb"), (Strings{"-a", "+", "-\nb", "+"}));
  EXPECT_EQ(matches("x*", "axb"), (Strings{"+", "-a", "+x", "-b", "+"}));
  EXPECT_EQ(matches("\\w+", "a_1\xC2\xB2-"), (Strings{"+a_1\xC2\xB2", "--"}));  // superscripts are word characters, as in Latin 1
  EXPECT_EQ(matches("[\\w]+", "a_1\xC2\xB2-"), (Strings{"+a_1", "-\xC2\xB2-"}));
  EXPECT_EQ(matches("\\ba", "a-aa"), (Strings{"+a", "--", "+a", "-a"}));
  EXPECT_EQ(matches("\\h+", "xAf0g"), (Strings{"-x", "+Af0", "-g"}));
  EXPECT_EQ(matches("\\R", "a\r\nb"), (Strings{"-a", "+\r\n", "-b"}));
  EXPECT_EQ(matches("a{,2}b", "aaab{"), (Strings{"-a", "+aab", "-{"}));
  EXPECT_EQ(matches("b{", "aaab{"), (Strings{"-aaa", "+b{"}));
  EXPECT_EQ(matches("[a[bc]]+", "dcba"), (Strings{"-d", "+cba"}));
  EXPECT_EQ(matches("[^a[bc]]+", "dcba"), (Strings{"+d", "-cba"}));
  EXPECT_EQ(matches("[a-z&&[^aeiou]]+", "bcade"), (Strings{"+bc", "-a", "+d", "-e"}));
  EXPECT_EQ(matches("[^a-z&&[^aeiou]]+", "bcade"), (Strings{"-bc", "+a", "-d", "+e"}));
  EXPECT_EQ(matches("[\\P{L}]+", "x.y"), (Strings{"-x", "+.", "-y"}));
  EXPECT_EQ(matches("[\\p{L}&&\\p{Han}]+", "x\xE4\xBD\xA0y"), (Strings{"-x", "+\xE4\xBD\xA0", "-y"}));
  EXPECT_EQ(matches("\\p{Han}+", "x\xF0\xB1\x8D\x90y"), (Strings{"-x", "+\xF0\xB1\x8D\x90", "-y"}));  // extension H
  EXPECT_EQ(matches("[[:digit:]x]+", "ax1"), (Strings{"-a", "+x1"}));
  EXPECT_EQ(matches("[a&&b]", "ab"), (Strings{"-ab"}));
  for (const char* pattern :
       {"\\G",   "\\X",   "\\K",         "[a[b]", "[[:alpha:]]",  "(?i:[a&&b])", "[z-a[b]]",      "(?x)a", "(?m:a)",
        "a{2}?", "a{2}+", "(a)\\1",      "[a",    "(?i:\\p{Lu})", "(?i:ss)",     "(?i:\xC3\xA9)", "[]a]",  "a)",
        "[a",    "\\",    "\\x{110000}", "\\xE9", "(*UTF)",       "(?",          "\\Qa\\E",       "\\p{}"}) {
    expect_mentions(error_of([&] { text::make_regex(pattern, "the place"); }), {"the place", pattern});
  }
}

TEST(Regex, GivingUpIsAnError) {
  std::vector<text::Match> found;
  const auto regex = text::make_regex("(?:a+)+(?:a+)+(?:a+)+$", "the place");
  expect_mentions(error_of([&] { regex->find(std::string(5000, 'a') + "b", found); }), {"the place", "gives up", "5001"});
  // Nested repeats over a long text that match need much memory, but they match.
  found.clear();
  text::make_regex("(?:\\p{L}\\p{M}*)+", "the place")->find(std::string(1 << 20, 'a'), found);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].end, size_t{1} << 20);
}

std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> kParts = {" ",
                                                  "  ",
                                                  "\n",
                                                  "\r\n",
                                                  "\t",
                                                  "a",
                                                  "the",
                                                  "The",
                                                  "'s",
                                                  "12",
                                                  "3",
                                                  "\xC3\xA9",
                                                  "e\xCC\x81",
                                                  "\xE4\xBD\xA0",
                                                  "\xF0\x9F\x98\x80",
                                                  "\xE2\x96\x81",
                                                  "<|endoftext|>",
                                                  "<s>",
                                                  "word",
                                                  "\xFF",
                                                  "\xE2\x82",
                                                  ".",
                                                  "--",
                                                  "x_y"};
  std::string text;
  const size_t n = random() % 30;
  for (size_t i = 0; i < n; ++i) text += kParts[random() % kParts.size()];
  return text;
}

TEST(Tokenizer, InvalidUtf8CountsAsReplacementCharacters) {
  std::mt19937 random(1);
  for (const char* family : {"smollm2", "llama2", "metaspace"}) {
    const auto tokenizer = load(family);
    for (int i = 0; i < 200; ++i) {
      const std::string bytes = random_text(random);
      EXPECT_EQ(tokenizer->encode(bytes, false), tokenizer->encode(text::repair_utf8(bytes), false));
    }
  }
}

TEST(Tokenizer, ByteLevelDecodingIsTheInverseOfEncoding) {
  std::mt19937 random(2);
  for (const char* family : {"gpt2", "smollm2", "llama3", "o200k", "deepseek"}) {
    const auto tokenizer = load(family);
    for (int i = 0; i < 300; ++i) {
      const std::string text = text::repair_utf8(random_text(random));
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), text);
    }
  }
}

TEST(Tokenizer, IsNotQuadratic) {
  // Each takes a fraction of a second; in quadratic time it would take hours.
  const auto start = std::chrono::steady_clock::now();
  const size_t n = 1 << 20;
  std::string marks = "a", possessives, spelled;
  for (size_t i = 0; i < n / 8; ++i) marks += "\xCC\x81\xCC\xA3";
  for (size_t i = 0; i < n / 8; ++i) possessives += "'s1.";
  for (size_t i = 0; i < n / 8; ++i) spelled += "<|endof";  // almost an added token
  for (const char* family : {"smollm2", "qwen2", "llama3", "o200k", "deepseek", "llama2", "mistral", "metaspace", "splits"}) {
    const auto tokenizer = load(family);
    for (const std::string& text : {std::string(n, 'a'), std::string(n, ' ') + "\xE4\xBD\xA0", std::string(n, '\n'),
                                    std::string(n, '7'), std::string(n, '-'), marks, possessives, spelled}) {
      EXPECT_LE(tokenizer->encode(text, false).size(), 2 * text.size() + 1);
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(240));
}

TEST(Detokenizer, HoldsBackNoMoreThanItMust) {
  const auto tokenizer = load("smollm2");
  Detokenizer detokenizer(*tokenizer, true);
  const auto ids = tokenizer->encode("\xF0\x9F\x98\x80!", false);  // four bytes, not merged by this vocabulary
  ASSERT_EQ(ids.size(), 5u);
  EXPECT_EQ(detokenizer.push(ids[0]), "");
  EXPECT_EQ(detokenizer.push(ids[1]), "");
  EXPECT_EQ(detokenizer.push(ids[2]), "");
  EXPECT_EQ(detokenizer.push(ids[3]), "\xF0\x9F\x98\x80");
  EXPECT_EQ(detokenizer.push(ids[0]), "");
  EXPECT_EQ(detokenizer.push(ids[4]), "\xEF\xBF\xBD!");
  EXPECT_EQ(detokenizer.push(ids[0]), "");
  EXPECT_EQ(detokenizer.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(detokenizer.push(ids[4]), "!");
  EXPECT_EQ(detokenizer.push(*tokenizer->token_to_id("<|endoftext|>")), "");
  EXPECT_EQ(detokenizer.push(1 << 30), "");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, StripsTheLeadingBlankOnlyAtTheStart) {
  const auto tokenizer = load("llama2");
  Detokenizer detokenizer(*tokenizer, false);
  const auto blank = *tokenizer->token_to_id("\xE2\x96\x81");
  const auto a = *tokenizer->token_to_id("a");
  EXPECT_EQ(detokenizer.push(blank), "");
  EXPECT_EQ(detokenizer.push(a), "a");
  EXPECT_EQ(detokenizer.push(blank), " ");
  EXPECT_EQ(detokenizer.push(blank), " ");
  // A run of byte tokens is text only if all of it is valid.
  const auto byte = [&](const char* hex) { return *tokenizer->token_to_id(hex); };
  EXPECT_EQ(detokenizer.push(byte("<0xC3>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0xA9>")), "");
  EXPECT_EQ(detokenizer.push(a),
            "\xC3\xA9"
            "a");
  EXPECT_EQ(detokenizer.push(byte("<0xC3>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0xA9>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0xFF>")), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(detokenizer.push(byte("<0x41>")), "\xEF\xBF\xBD");
  EXPECT_EQ(detokenizer.finish(), "");
}

// Whatever the ids: each piece is whole characters, and the pieces of both halves are the text, wherever the stream is looked at.
TEST(Detokenizer, RandomIdsAtEverySplit) {
  std::mt19937 random(4);
  for (const char* family :
       {"gpt2", "smollm2", "llama3", "llama2", "mistral", "metaspace", "unknown", "splits", "added_tokens"}) {
    const auto tokenizer = load(family);
    const auto vocab_size = static_cast<uint32_t>(tokenizer->vocab_size());
    for (int round = 0; round < 200; ++round) {
      std::vector<int32_t> ids(1 + random() % 24);
      // Few different ids, so that bytes that belong together meet.
      const uint32_t first = random() % vocab_size, range = round % 2 == 0 ? vocab_size + 2 : 40;
      for (int32_t& id : ids) id = static_cast<int32_t>((first + random() % range) % (vocab_size + 2));
      const bool skip = random() % 2 == 0;
      const std::string expected = tokenizer->decode(ids, skip);
      EXPECT_TRUE(text::is_valid_utf8(expected));
      for (size_t split = 0; split <= ids.size(); ++split) {
        Detokenizer detokenizer(*tokenizer, skip);
        std::string streamed;
        for (size_t i = 0; i < ids.size(); ++i) {
          streamed += detokenizer.push(ids[i]);
          if (i + 1 != split) continue;
          // What was printed so far is whole characters and stays.
          EXPECT_TRUE(text::is_valid_utf8(streamed)) << family << ::testing::PrintToString(ids) << split;
          EXPECT_TRUE(expected.starts_with(streamed)) << family << ::testing::PrintToString(ids) << split;
          // What decoding the first ids alone gives differs at most in what was held back.
          const std::string alone = tokenizer->decode({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(split)}, skip);
          EXPECT_TRUE(alone.starts_with(streamed)) << family << ::testing::PrintToString(ids) << split;
        }
        EXPECT_EQ(streamed + detokenizer.finish(), expected) << family << ::testing::PrintToString(ids);
      }
    }
  }
}

TEST(Detokenizer, CostOfATokenDoesNotGrow) {
  const auto tokenizer = load("llama2");
  Detokenizer detokenizer(*tokenizer, false);
  const auto byte = *tokenizer->token_to_id("<0x41>");
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000'000; ++i) EXPECT_EQ(detokenizer.push(byte), "");  // the worst case: a run that is held back
  EXPECT_EQ(detokenizer.finish().size(), 1'000'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

}  // namespace
}  // namespace lockstep
