// The whole sampler against transformers' logits processors (tests/golden/data/*/sampling.json): how often each token is drawn,
// by a chi-square test at fixed seeds, and that what the processors leave out is never drawn. tests/golden compares the same
// options through the command line where the likeliest token is taken.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/sampler.h"
#include "support/source_dir.h"

namespace lockstep {
namespace {

constexpr int32_t kDraws = 8192;

ModelConfig model_with(int64_t vocab_size) {
  ModelConfig c;
  c.architecture = "LlamaForCausalLM";
  c.vocab_size = vocab_size;
  c.hidden_size = c.intermediate_size = 8;
  c.num_layers = c.num_heads = c.num_kv_heads = 1;
  c.head_dim = 8;
  return c;
}

SamplingRow row_of(const nlohmann::json& options) {
  SamplingRow row;
  row.slot = -1;
  row.temperature = options.value("temperature", 0.0f);
  row.top_k = options.value("top-k", 0);
  row.top_p = options.value("top-p", 1.0f);
  row.min_p = options.value("min-p", 0.0f);
  row.repetition_penalty = options.value("repetition-penalty", 1.0f);
  row.penalty_row = row.repetition_penalty != 1.0f ? 0 : -1;
  return row;
}

// The tokens of kDraws draws with the seeds first_seed, first_seed + 1, ...
std::vector<int32_t> draw(const nlohmann::json& golden_case, uint64_t first_seed) {
  const auto logits = golden_case.at("logits").get<std::vector<float>>();
  auto history = golden_case.at("history").get<std::vector<int32_t>>();
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const auto comm = make_null_communicator(*backend);
  const ModelConfig config = model_with(static_cast<int64_t>(logits.size()));
  Sampler sampler(config, make_partition(config, 1, 0), *backend, *comm, kDraws);
  const TensorView rows = sampler.logits(kDraws);
  std::vector<SamplingRow> sampling(kDraws, row_of(golden_case.at("options")));
  for (int32_t i = 0; i < kDraws; ++i) {
    std::copy(logits.begin(), logits.end(), static_cast<float*>(rows.slice_rows(i, 1).data));
    sampling[static_cast<size_t>(i)].seed = first_seed + static_cast<uint64_t>(i);
  }
  SamplingNeeds needs;
  needs.processing = sampling[0].penalty_row >= 0;
  needs.filters = {sampling[0].top_k > 0, (sampling[0].top_p < 1.0f), (sampling[0].min_p > 0.0f)};
  sampler.reset_counts(0, history.data(), static_cast<int64_t>(history.size()), nullptr, 0);
  sampler.sample(kDraws, sampling.data(), nullptr, nullptr, needs);
  backend->synchronize();
  return {sampler.tokens(), sampler.tokens() + kDraws};
}

// How unlikely a chi-square statistic is, in standard deviations of a normal distribution (Wilson and Hilferty 1931).
double deviations(double chi_square, double freedom) {
  const double spread = 2.0 / (9.0 * freedom);
  return (std::cbrt(chi_square / freedom) - (1.0 - spread)) / std::sqrt(spread);
}

void expect_frequencies(const nlohmann::json& golden_case, const std::vector<int32_t>& tokens) {
  const auto& probabilities = golden_case.at("probabilities");
  std::map<int32_t, int> observed;
  for (const int32_t token : tokens) {
    ASSERT_TRUE(probabilities.contains(std::to_string(token)))
        << "token " << token << " was drawn, which the processors leave out";
    ++observed[token];
  }
  // Tokens that are expected fewer than 5 times count as one.
  double chi_square = 0.0, rare_expected = 0.0, total = 0.0;
  int cells = 0, rare_observed = 0;
  const auto add = [&](double expected, int seen) {
    chi_square += (seen - expected) * (seen - expected) / expected;
    ++cells;
  };
  for (const auto& [token, probability] : probabilities.items()) {
    const double expected = probability.get<double>() * kDraws;
    const int seen = observed[std::stoi(token)];
    total += probability.get<double>();
    if (expected < 5.0) {
      rare_expected += expected;
      rare_observed += seen;
    } else {
      add(expected, seen);
    }
  }
  ASSERT_NEAR(total, 1.0, 1e-5);
  if (rare_expected > 0.0) add(rare_expected, rare_observed);
  if (cells == 1) return;
  EXPECT_LT(deviations(chi_square, cells - 1), 3.7)
      << "chi-square " << chi_square << " of " << cells - 1 << " degrees of freedom";
}

class SamplerGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(SamplerGolden, DrawsAsOftenAsTransformers) {
  std::ifstream in(testing::source_dir() / "tests/golden/data" / GetParam() / "sampling.json");
  ASSERT_TRUE(in.good());
  const nlohmann::json golden = nlohmann::json::parse(in);
  uint64_t seed = 1;
  ASSERT_GT(golden.at("sampled").size(), 5u);
  for (const auto& golden_case : golden.at("sampled")) {
    SCOPED_TRACE(golden_case.at("options").dump());
    const std::vector<int32_t> tokens = draw(golden_case, seed);
    expect_frequencies(golden_case, tokens);
    EXPECT_EQ(draw(golden_case, seed), tokens) << "the same seeds draw the same tokens";
    seed += kDraws;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SamplerGolden, ::testing::Values("llama3_gqa", "llama_mha", "qwen2", "qwen3"));

}  // namespace
}  // namespace lockstep
