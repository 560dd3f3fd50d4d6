// Output in a given form from a model of random weights, over all ranks: it always has the form, whatever runs beside it.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/error.h"
#include "comm/host_communicator.h"
#include "engine/engine.h"
#include "mpi/odd_model.h"
#include "mpi/world_fixture.h"
#include "support/token_list.h"
#include "text/utf8.h"

namespace lockstep {
namespace {

const char* const kSchema = R"({"type": "object", "required": ["id", "tags"], "properties": {
    "id": {"type": "integer", "minimum": 5, "maximum": 1234}, "note": {"type": "string", "maxLength": 6},
    "tags": {"type": "array", "items": {"enum": ["red", "green", null]}, "maxItems": 3}}})";
const char* const kRegex = "(yes|no|maybe) [a-f]{2,9}(-[0-9]+)?";

// As many tokens as the model has, 0 ends a sequence: what ASCII can print, and pieces of JSON.
std::vector<std::string> tokens_of_model() {
  std::vector<std::string> tokens = {""};
  for (char c = ' '; c <= '~'; ++c) tokens.emplace_back(1, c);
  for (const char* piece : {"\n",   "{\"",   "\":",  "\": ",   ", \"", "\"}", "id",  "note", "tags", "[\"", "\"]", "]}",
                            "red",  "green", "null", "\", \"", "es",   "ay",  "be ", "12",   "abc",  "de",  "-1",  "  ",
                            "\n  ", "{\n",   "},",   "yes",    "no ",  "\\n", "\\u", "00",   "{}",   "[]"}) {
    tokens.emplace_back(piece);
  }
  tokens.resize(131);  // the rest is no text
  return tokens;
}

void expect_form(const std::string& text, bool is_schema) {
  if (!is_schema) {
    EXPECT_TRUE(std::regex_match(text, std::regex(kRegex))) << text;
    return;
  }
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(value.is_object()) << text;
  EXPECT_GE(value.at("id").get<int>(), 5) << text;
  EXPECT_LE(value.at("id").get<int>(), 1234) << text;
  EXPECT_LE(value.at("tags").size(), 3u) << text;
  for (const auto& tag : value.at("tags")) EXPECT_TRUE(tag == "red" || tag == "green" || tag.is_null()) << text;
  EXPECT_LE(text::count_code_points(value.value("note", "")), 6u) << text;
  EXPECT_EQ(value.size(), value.contains("note") ? 3u : 2u) << text;
}

struct Continuation {
  std::vector<int32_t> tokens;
  std::string text;
  FinishReason finish = FinishReason::kNone;
  bool operator==(const Continuation&) const = default;
};
using Outputs = std::map<std::pair<int64_t, int32_t>, Continuation>;

struct Way {
  bool ahead = false;
  int64_t num_blocks = 300;
};

class EngineGrammarTest : public WorldFixture {
 protected:
  void with_engine(const Way& way, const std::function<void(Engine&)>& body) {
    constexpr RunnerLimits kLimits{.max_num_seqs = 6, .max_num_batched_tokens = 24, .max_model_len = 128};
    std::unique_ptr<Backend> backend = make_cpu_backend(1);
    if (way.ahead) backend = std::make_unique<AheadBackend>();
    ModelConfig config = odd_config();
    config.eos_token_ids = {0};
    const auto runner = make_runner(config, world().size(), world().rank(), std::make_unique<HostCommunicator>(world(), 1 << 16),
                                    kLimits, way.num_blocks, std::move(backend));
    EngineOptions options;
    if (!world().is_root()) return serve_rank(world(), *runner, options);
    Engine engine(world(), *runner, options, &tokenizer_);
    body(engine);
    engine.shutdown();
  }

  static Outputs run_all(Engine& engine) {
    Outputs outputs;
    while (engine.has_work()) {
      for (const SequenceOutput& output : engine.step()) {
        Continuation& c = outputs[{output.id, output.index}];
        if (output.token >= 0) c.tokens.push_back(output.token);
        c.text += output.text;
        c.finish = output.finish;
      }
    }
    return outputs;
  }

  static SamplingParams with(GrammarSpec grammar, uint64_t seed) {
    SamplingParams params;
    params.grammar = std::move(grammar);
    params.temperature = 1.0f;
    params.seed = seed;
    params.max_tokens = 110;
    return params;
  }

  test::TokenList tokenizer_{tokens_of_model()};
};

TEST_F(EngineGrammarTest, EveryOutputHasItsFormHoweverItIsComputed) {
  constexpr uint64_t kSeeds = 24;
  Outputs expected;
  for (const Way& way : {Way{}, Way{.ahead = true}, Way{.num_blocks = 40}, Way{.ahead = true, .num_blocks = 40}}) {
    with_engine(way, [&](Engine& engine) {
      for (uint64_t i = 0; i < kSeeds; ++i) {
        SamplingParams params =
            with({i % 3 == 0 ? GrammarKind::kRegex : GrammarKind::kJsonSchema, i % 3 == 0 ? kRegex : kSchema}, i);
        params.n = i % 8 == 7 ? 3 : 1;
        params.top_k = i % 4 == 1 ? 20 : 0;
        params.repetition_penalty = i % 5 == 2 ? 1.2f : 1.0f;
        params.logprobs = i % 6 == 3 ? 2 : -1;
        params.temperature = i % 7 == 6 ? 0.0f : 1.0f;
        engine.add({1, 2, 3, static_cast<int32_t>(i)}, params);
        if (i % 2 == 0) {  // others beside it
          params.grammar = {};
          params.max_tokens = 15;
          engine.add({4, 5, static_cast<int32_t>(i)}, params);
        }
      }
      const Outputs found = run_all(engine);
      EXPECT_EQ(engine.stats().num_preemptions > 0, way.num_blocks == 40) << "else the test shows nothing";
      int ended = 0;
      int64_t id = 0;
      for (uint64_t i = 0; i < kSeeds; ++i) {
        for (int32_t k = 0; k < (i % 8 == 7 ? 3 : 1); ++k) {
          const Continuation& c = found.at({id, k});
          if (c.finish != FinishReason::kStop) continue;  // an endless number, or 110 tokens were not enough
          ++ended;
          expect_form(c.text, i % 3 != 0);
        }
        id += i % 2 == 0 ? 2 : 1;
      }
      EXPECT_GT(ended, 20);
      if (expected.empty()) expected = found;
      EXPECT_EQ(found.size(), expected.size());
      for (const auto& [key, c] : expected) EXPECT_EQ(found.at(key).text, c.text) << key.first << " " << key.second;
      for (const auto& [key, c] : expected) EXPECT_EQ(found.at(key), c) << key.first << " " << key.second;
    });
  }
}

TEST_F(EngineGrammarTest, EndsWhenNothingCanFollowAndNotBeforeTheFormAllows) {
  with_engine({}, [&](Engine& engine) {
    SamplingParams params = with({GrammarKind::kRegex, "ab{3}"}, 1);
    params.ignore_eos = true;  // no end token is needed
    engine.add({9}, params);
    params.min_tokens = 50;  // nor is there more to produce
    engine.add({9}, params);
    params = with({GrammarKind::kRegex, "a[bc]*"}, 2);
    params.min_tokens = 20;
    engine.add({9}, params);
    params.ignore_eos = true;
    params.max_tokens = 30;
    engine.add({9}, params);
    params = with({GrammarKind::kRegex, "[a-z]{12}"}, 3);
    params.stop_token_ids = {1 + 'q' - ' '};
    params.min_tokens = 12;
    engine.add({9}, params);
    params = with({GrammarKind::kRegex, "x=(1|2)y"}, 4);
    params.stop = {"="};
    engine.add({9}, params);
    const Outputs found = run_all(engine);
    EXPECT_EQ((found.at({0, 0}).text), "abbb");
    EXPECT_EQ((found.at({0, 0}).finish), FinishReason::kStop);
    EXPECT_EQ((found.at({1, 0}).text), "abbb");
    EXPECT_GE((found.at({2, 0}).tokens.size()), 20u);
    EXPECT_EQ((found.at({3, 0}).tokens.size()), 30u);
    EXPECT_EQ((found.at({3, 0}).finish), FinishReason::kLength);
    EXPECT_EQ((found.at({4, 0}).finish), FinishReason::kStop);
    EXPECT_EQ((found.at({5, 0}).text), "x") << "a stop string ends the text as ever";
    for (const auto& [key, c] : found) {
      if (key.first != 4) continue;
      EXPECT_EQ(c.text.size(), 12u) << "a stop token that is text is not banned from it";
    }
  });
}

TEST_F(EngineGrammarTest, RefusesWhatIsWrongAndGoesOn) {
  with_engine({}, [&](Engine& engine) {
    for (const GrammarSpec& spec :
         {GrammarSpec{GrammarKind::kRegex, "a(?=b)"}, GrammarSpec{GrammarKind::kRegex, "("},
          GrammarSpec{GrammarKind::kJsonSchema, "{"},
          GrammarSpec{GrammarKind::kJsonSchema, R"({"type": "object", "properties": {"a": {"not": {}}}})"},
          GrammarSpec{GrammarKind::kRegex, "é"}, GrammarSpec{GrammarKind::kRegex, "(a{1000}){1000}"}}) {
      EXPECT_THROW(engine.add({1}, with(spec, 1)), Error) << spec.text;
    }
    SamplingParams params = with({GrammarKind::kRegex, "a"}, 1);
    params.logit_bias = {{5, -std::numeric_limits<float>::infinity()}};
    EXPECT_THROW(engine.add({1}, params), Error);
    EXPECT_FALSE(engine.has_work());
    engine.add({1}, with({GrammarKind::kJsonObject, ""}, 1));
    const Outputs found = run_all(engine);
    EXPECT_EQ((found.begin()->second.text.front()), '{');
  });
}

}  // namespace
}  // namespace lockstep
