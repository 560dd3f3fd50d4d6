// Worked examples of what models weigh, checked against published figures and against the loader's own partition.
#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/rank_weights.h"
#include "unit/plan/planning.h"
#include "weights/weights.h"

namespace lockstep {
namespace {

using testing::planned;

double whole_gb(const PlannedModel& model) { return static_cast<double>(rank_weight_bytes(model, 1, 0)) / 1e9; }

struct Size {
  const char* name;
  double billions;  // of parameters, as the model cards have it
};

class QwenSizes : public ::testing::TestWithParam<Size> {};

TEST_P(QwenSizes, FloatWeightsAreTwoBytesAParameter) {
  const auto [name, billions] = GetParam();
  for (const char* dtype : {"bfloat16", "float16", "bf16", "fp16"}) {
    const PlannedModel model = planned(name, dtype);
    EXPECT_NEAR(static_cast<double>(model.num_parameters()) / 1e9, billions, 0.006 * billions) << name;
    EXPECT_NEAR(whole_gb(model), 2e-9 * static_cast<double>(model.num_parameters()), 1e-4) << name << dtype;
  }
}

// Embedding and LM head stay in 16 bits: the small models shrink less.
TEST_P(QwenSizes, QuantizedWeightsAreLinearsInTheFormatAndTheRestInSixteenBits) {
  const PlannedModel model = planned(GetParam().name);
  const ModelConfig& c = model.config;
  const double linears = static_cast<double>(c.num_layers * c.hidden_size *
                                             ((2 * c.num_heads + 2 * c.num_kv_heads) * c.head_dim + 3 * c.intermediate_size));
  const double rest = static_cast<double>(model.num_parameters()) - linears;
  EXPECT_NEAR(whole_gb(planned(GetParam().name, "int8")), (linears + 2 * rest) / 1e9, 0.003 * whole_gb(model));
  EXPECT_NEAR(whole_gb(planned(GetParam().name, "fp8")), (linears + 2 * rest) / 1e9, 0.003 * whole_gb(model));
  // 4 bits, and for every 128 of them 16 of scale and 4 of zero.
  EXPECT_NEAR(whole_gb(planned(GetParam().name, "int4")), (linears * (4 + 20.0 / 128) / 8 + 2 * rest) / 1e9,
              1e-3 * whole_gb(model));
}

INSTANTIATE_TEST_SUITE_P(Qwen25, QwenSizes,
                         ::testing::Values(Size{"qwen2.5-0.5b", 0.494}, Size{"qwen2.5-1.5b", 1.54}, Size{"qwen2.5-3b", 3.09},
                                           Size{"qwen2.5-7b", 7.62}, Size{"qwen2.5-14b", 14.8}, Size{"qwen2.5-32b", 32.8},
                                           Size{"qwen2.5-72b", 72.7}));

TEST(WeightsPlanTest, Qwen72BWeighs145GigabytesInSixteenBits) {
  EXPECT_NEAR(whole_gb(planned("qwen2.5-72b")), 145.4, 0.05);
  EXPECT_NEAR(whole_gb(planned("qwen2.5-72b", "float32")), 290.8, 0.1);
}

// The published AWQ checkpoints (group 128): 5.57 GB and 41.6 GB of safetensors.
TEST(WeightsPlanTest, FourBitWeightsAreThoseOfPublishedCheckpoints) {
  EXPECT_NEAR(whole_gb(planned("qwen2.5-7b", "int4")), 5.57, 0.02);
  EXPECT_NEAR(whole_gb(planned("qwen2.5-72b", "int4")), 41.6, 0.2);
}

TEST(WeightsPlanTest, ModelsThatDoNotRunYetHaveTheirPublishedSizes) {
  const auto billions = [](int64_t n) { return static_cast<double>(n) / 1e9; };
  const PlannedModel v2 = planned("deepseek-v2");
  EXPECT_NEAR(billions(v2.num_parameters()), 235.7, 0.3);
  EXPECT_NEAR(billions(v2.active_parameters()), 20.8, 0.6);  // "21B activated", the embedding counted
  EXPECT_NEAR(billions(planned("deepseek-v2-lite").num_parameters()), 15.7, 0.05);
  EXPECT_NEAR(billions(planned("mixtral-8x7b").num_parameters()), 46.7, 0.05);
  EXPECT_NEAR(billions(planned("qwen3-30b-a3b").num_parameters()), 30.5, 0.05);
  EXPECT_NEAR(billions(planned("qwen3-30b-a3b").active_parameters()), 3.0, 0.1);
  for (const char* name : {"deepseek-v2", "deepseek-v2-lite", "mixtral-8x7b", "qwen3-30b-a3b"}) {
    const PlannedModel model = planned(name);
    EXPECT_FALSE(model.missing.empty()) << name;
    EXPECT_NEAR(whole_gb(model), 2 * billions(model.num_parameters()), 0.001 * whole_gb(model)) << name;
  }
  EXPECT_TRUE(planned("llama-3-8b").missing.empty());
  EXPECT_EQ(planned("llama-3-8b", "int4").missing.size(), 1u);
}

TEST(WeightsPlanTest, EveryRankWeighsWhatTheLoaderAllocates) {
  for (const char* name : {"qwen2.5-7b", "qwen3-0.6b", "llama-3-8b", "smollm2-135m"}) {
    const PlannedModel model = planned(name);
    for (const int tp : {1, 2, 3, 5, 7, 8, 16}) {
      int64_t sum = 0;
      for (int rank = 0; rank < tp; ++rank) {
        const Partition partition = make_partition(model.config, tp, rank);
        EXPECT_EQ(rank_weight_bytes(model, tp, rank), static_cast<int64_t>(Weights::bytes_needed(partition, model.config.dtype)))
            << name << " rank " << rank << " of " << tp;
        sum += rank_weight_bytes(model, tp, rank);
      }
      EXPECT_GE(sum, rank_weight_bytes(model, 1, 0));
    }
  }
}

// Experts' columns and heads are dealt: together the ranks hold every linear once.
TEST(WeightsPlanTest, RanksOfAMixtureHoldEachExpertOnce) {
  const PlannedModel model = planned("deepseek-v2-lite");
  const auto linears = [&](int tp, int rank) {
    int64_t n = 0;
    for (const PlannedParameter& p : rank_parameters(model, tp, rank)) {
      if (p.parameter.name.find("experts.") != std::string::npos || p.parameter.name.ends_with(".kv_b")) {
        n += p.parameter.rows * p.parameter.cols;
      }
    }
    return n;
  };
  for (const int tp : {2, 3, 8}) {
    int64_t sum = 0;
    for (int rank = 0; rank < tp; ++rank) sum += linears(tp, rank);
    EXPECT_EQ(sum, linears(1, 0)) << tp;
  }
}

TEST(WeightsPlanTest, KeysAndValuesOfASequenceOfEightThousandTokens) {
  const auto bytes = [](const PlannedModel& m) { return 8192 * kv_bytes_per_token(m, planned_share(m, 1, 0)); };
  EXPECT_EQ(bytes(planned("llama-3-8b")), int64_t{1} << 30);         // 2 * 32 * 8 * 128 * 2 = 128 KiB a token
  EXPECT_EQ(bytes(planned("llama-3-70b")), int64_t{5} << 29);        // 320 KiB a token: 2.5 GiB
  EXPECT_EQ(bytes(planned("qwen2.5-7b")), int64_t{8192} * 57344);    // 0.47 GB
  EXPECT_EQ(bytes(planned("qwen2.5-72b")), int64_t{8192} * 327680);  // 2.68 GB
  EXPECT_EQ(bytes(planned("qwen2.5-0.5b")), int64_t{8192} * 12288);
  EXPECT_EQ(bytes(planned("deepseek-v2")), int64_t{8192} * 60 * 576 * 2);  // one latent, on every rank
  PlannedModel narrow = planned("llama-3-8b");
  set_formats(narrow, "auto", "fp8", 0);
  EXPECT_EQ(bytes(narrow), int64_t{1} << 29);
  // A rank's share of the heads; the latent is whole on every rank.
  const PlannedModel llama = planned("llama-3-70b"), v2 = planned("deepseek-v2");
  EXPECT_EQ(kv_bytes_per_token(llama, planned_share(llama, 8, 3)) * 8, kv_bytes_per_token(llama, planned_share(llama, 1, 0)));
  EXPECT_EQ(kv_bytes_per_token(v2, planned_share(v2, 8, 3)), kv_bytes_per_token(v2, planned_share(v2, 1, 0)));
}

TEST(WeightsPlanTest, AFormatThatThereIsNotIsRefused) {
  PlannedModel model = planned("llama-3-8b");
  EXPECT_THROW(set_formats(model, "int3", "auto", 0), Error);
  EXPECT_THROW(set_formats(model, "auto", "int4", 0), Error);
  EXPECT_THROW(set_formats(model, "bfloat16", "auto", 64), Error);  // a group without quantization
}

}  // namespace
}  // namespace lockstep
