#include "plan/step_time.h"

#include <gtest/gtest.h>

#include "unit/plan/planning.h"

namespace lockstep {
namespace {

using testing::cluster_of;
using testing::planned;

// What one H100 took (docs/performance.md), in ms: decode steps whose sequences began with `context` tokens and were timed from
// their 20th to their 148th token.
struct Decode {
  const char* model;
  int batch, context;
  double ms;
};

TEST(StepTimeTest, DecodeStepsOfOneH100AreWithinFifteenPercent) {
  const Cluster h100 = cluster_of("h100-80gb", 1);
  for (const Decode& d :
       {Decode{"qwen2.5-7b", 1, 64, 5.01},     Decode{"qwen2.5-7b", 8, 64, 5.04},     Decode{"qwen2.5-7b", 32, 64, 5.30},
        Decode{"qwen2.5-7b", 64, 64, 5.76},    Decode{"qwen2.5-7b", 128, 64, 6.96},   Decode{"qwen2.5-7b", 256, 64, 8.64},
        Decode{"qwen2.5-7b", 8, 4000, 5.80},   Decode{"qwen2.5-7b", 32, 4000, 7.74},  Decode{"qwen2.5-7b", 8, 7800, 6.39},
        Decode{"llama-3.2-1b", 1, 64, 1.03},   Decode{"llama-3.2-1b", 8, 64, 1.05},   Decode{"llama-3.2-1b", 64, 64, 1.39},
        Decode{"llama-3.2-1b", 256, 64, 2.39}, Decode{"qwen2.5-0.5b", 1, 64, 0.74},   Decode{"qwen2.5-0.5b", 8, 64, 0.73},
        Decode{"qwen2.5-0.5b", 64, 64, 1.27},  Decode{"qwen2.5-0.5b", 256, 64, 1.97}, Decode{"qwen2.5-3b", 1, 64, 2.55},
        Decode{"qwen2.5-3b", 32, 64, 2.83},    Decode{"qwen2.5-14b", 1, 64, 10.11},   Decode{"qwen2.5-14b", 32, 64, 10.53}}) {
    const double predicted = StepTimeModel(planned(d.model), h100, 1).decode(d.batch, d.context + 83.5).total() * 1e3;
    EXPECT_NEAR(predicted / d.ms, 1.0, 0.15)
        << d.model << ", batch " << d.batch << ", context " << d.context << ": " << predicted;
    RecordProperty(std::string(d.model) + "_" + std::to_string(d.batch) + "_" + std::to_string(d.context),
                   std::to_string(predicted / d.ms));
  }
}

TEST(StepTimeTest, PrefillsOfOneH100AreWithinFifteenPercent) {
  const Cluster h100 = cluster_of("h100-80gb", 1);
  struct Prefill {
    int64_t batch, length;
    double tokens_per_second;
  };
  const StepTimeModel model(planned("qwen2.5-7b"), h100, 1);
  for (const Prefill& p : {Prefill{1, 2048, 46400}, Prefill{4, 2048, 45200}, Prefill{1, 8000, 40100}}) {
    const double rate = static_cast<double>(p.batch * p.length) / model.prefill(p.batch, p.length, 8192).total();
    EXPECT_NEAR(rate / p.tokens_per_second, 1.0, 0.15) << p.batch << "x" << p.length << ": " << rate;
  }
}

// By hand: at hidden 4096 in 16 bits a token's row is 8 KiB.
TEST(StepTimeTest, MessagesAndVolumesOfAllReduce) {
  const PlannedModel model = planned("llama-3-8b");  // hidden 4096, 32 layers
  struct Case {
    int64_t batch, length;
    double message;
  };
  for (const Case& c : {Case{16, 512, 67108864.0}, Case{64, 2048, 1073741824.0}, Case{128, 8192, 8589934592.0}}) {
    const double message = static_cast<double>(c.batch * c.length) * 4096 * 2;
    EXPECT_DOUBLE_EQ(message, c.message);
    EXPECT_DOUBLE_EQ(all_reduce_volume(message, 2), message);
    EXPECT_DOUBLE_EQ(all_reduce_volume(message, 4), 1.5 * message);
    EXPECT_DOUBLE_EQ(all_reduce_volume(message, 8), 1.75 * message);
  }
  EXPECT_DOUBLE_EQ(all_reduce_volume(1e6, 1), 0.0);
  // 2 * layers * 2 (N - 1) / N * hidden * bytes
  EXPECT_DOUBLE_EQ(link_bytes_per_token(model, 1), 0.0);
  EXPECT_DOUBLE_EQ(link_bytes_per_token(model, 2), 2.0 * 32 * 1.0 * 4096 * 2);
  EXPECT_DOUBLE_EQ(link_bytes_per_token(model, 8), 2.0 * 32 * 1.75 * 4096 * 2);
}

TEST(StepTimeTest, AnAllReduceIsLatencyAndVolumeOverTheNarrowestLink) {
  const Cluster nvlink = cluster_of("h100-80gb", 8), pcie = cluster_of("l40s", 8), two = cluster_of("h100-80gb", 8, 2);
  const double message = 1e9;
  EXPECT_DOUBLE_EQ(all_reduce_seconds(nvlink, message, 1), 0.0);
  const Link& l = nvlink.node_link;
  EXPECT_DOUBLE_EQ(all_reduce_seconds(nvlink, message, 2), l.latency_s + 1e9 / (450e9 * l.efficiency));
  EXPECT_DOUBLE_EQ(all_reduce_seconds(nvlink, message, 8), l.latency_s + 6 * l.hop_s + 1.75e9 / (450e9 * l.efficiency));
  EXPECT_GT(all_reduce_seconds(pcie, message, 2), 10 * all_reduce_seconds(nvlink, message, 2));
  // 16 ranks on two nodes: all volume passes one port of 50 GB/s.
  EXPECT_NEAR(all_reduce_seconds(two, message, 16), 1.875e9 / (50e9 * two.network.efficiency), 1e-3);
  Cluster ports = two;
  ports.nics_per_node = 8;
  EXPECT_LT(all_reduce_seconds(ports, message, 16), all_reduce_seconds(two, message, 16) / 7);
  // A bridge joins two cards; a third is beyond it.
  const Cluster bridge = cluster_of("rtx-3090", 4);
  EXPECT_TRUE(bridge.is_direct(2));
  EXPECT_FALSE(bridge.is_direct(3));
  EXPECT_GT(all_reduce_seconds(bridge, message, 3), 2 * all_reduce_seconds(bridge, message, 2));
}

TEST(StepTimeTest, MoreRanksAreFasterButNotInProportion) {
  const PlannedModel model = planned("llama-3-70b");
  const Cluster h100 = cluster_of("h100-80gb", 8);
  double last = StepTimeModel(model, h100, 1).decode(1, 1024).total();
  const double one = last;
  for (const int tp : {2, 4, 8}) {
    const StepTime time = StepTimeModel(model, h100, tp).decode(1, 1024);
    EXPECT_LT(time.total(), last) << tp;
    EXPECT_GT(time.total(), one / tp) << tp;
    EXPECT_GT(time.all_reduce, 160 * 6e-6) << tp;  // two a layer, none faster than its latency
    last = time.total();
  }
}

TEST(StepTimeTest, NarrowWeightsReadFasterAndExpertsOnlyWhereChosen) {
  const Cluster h100 = cluster_of("h100-80gb", 1);
  const double wide = StepTimeModel(planned("qwen2.5-72b"), h100, 1).decode(1, 512).total();
  const double int4 = StepTimeModel(planned("qwen2.5-72b", "int4"), h100, 1).decode(1, 512).total();
  EXPECT_NEAR(int4 / wide, 41.6 / 145.4, 0.08);
  // A token of Qwen3-30B-A3B reads 8 of 128 experts: about 3 billion parameters.
  const StepTime moe = StepTimeModel(planned("qwen3-30b-a3b"), h100, 1).decode(1, 512);
  EXPECT_NEAR(moe.linears, 3.05e9 * 2 / (3350e9 * 0.91), 0.15e-3);
  const StepTime many = StepTimeModel(planned("qwen3-30b-a3b"), h100, 1).decode(64, 512);
  EXPECT_GT(many.linears, 6 * moe.linears);
}

}  // namespace
}  // namespace lockstep
