#include "plan/step_time.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "unit/plan/planning.h"

namespace lockstep {
namespace {

using testing::cluster_of;
using testing::planned;

constexpr double kTolerance = 0.15;

// What one H100 and two that NVLink joins took (docs/performance.md), in ms: decode steps whose sequences began with `context`
// tokens and were timed from their 20th to their 148th token. docs/choosing-tp.md shows the same rows.
struct Decode {
  int tp;
  const char* model;
  int batch, context;
  double ms;
};
constexpr Decode kDecodes[] = {
    {1, "qwen2.5-7b", 1, 64, 5.01},     {1, "qwen2.5-7b", 8, 64, 5.04},     {1, "qwen2.5-7b", 32, 64, 5.30},
    {1, "qwen2.5-7b", 64, 64, 5.75},    {1, "qwen2.5-7b", 100, 64, 6.41},   {1, "qwen2.5-7b", 128, 64, 6.62},
    {1, "qwen2.5-7b", 192, 64, 7.69},   {1, "qwen2.5-7b", 256, 64, 8.65},   {1, "qwen2.5-7b", 8, 4000, 5.76},
    {1, "qwen2.5-7b", 32, 4000, 7.74},  {1, "qwen2.5-7b", 8, 7800, 6.34},   {1, "llama-3.2-1b", 1, 64, 1.03},
    {1, "llama-3.2-1b", 8, 64, 1.05},   {1, "llama-3.2-1b", 64, 64, 1.40},  {1, "llama-3.2-1b", 256, 64, 2.24},
    {1, "qwen2.5-0.5b", 1, 64, 0.74},   {1, "qwen2.5-0.5b", 8, 64, 0.74},   {1, "qwen2.5-0.5b", 64, 64, 1.26},
    {1, "qwen2.5-0.5b", 256, 64, 1.59}, {1, "qwen2.5-3b", 1, 64, 2.57},     {1, "qwen2.5-3b", 32, 64, 2.84},
    {1, "qwen2.5-3b", 128, 64, 4.15},   {1, "qwen2.5-3b", 256, 64, 5.00},   {1, "qwen2.5-14b", 1, 64, 10.1},
    {1, "qwen2.5-14b", 32, 64, 10.5},   {1, "qwen2.5-14b", 128, 64, 13.2},  {1, "qwen2.5-14b", 256, 64, 17.4},
    {2, "qwen2.5-7b", 1, 64, 2.89},     {2, "qwen2.5-7b", 8, 64, 2.94},     {2, "qwen2.5-7b", 64, 64, 3.57},
    {2, "qwen2.5-7b", 256, 64, 5.54},   {2, "qwen2.5-32b", 1, 64, 12.54},   {2, "qwen2.5-32b", 8, 64, 12.58},
    {2, "qwen2.5-32b", 64, 64, 13.98},  {2, "qwen2.5-32b", 256, 64, 21.13},
};

TEST(StepTimeTest, DecodeStepsOfOneAndTwoH100AreWithinFifteenPercent) {
  const Cluster h100 = cluster_of("h100-80gb", 2);
  for (const Decode& d : kDecodes) {
    const double predicted = StepTimeModel(planned(d.model), h100, d.tp).decode(d.batch, d.context + 83.5).total() * 1e3;
    EXPECT_NEAR(predicted / d.ms, 1.0, kTolerance)
        << d.model << ", tp " << d.tp << ", batch " << d.batch << ", context " << d.context << ": " << predicted;
    RecordProperty(fmt::format("{}_tp{}_{}_{}", d.model, d.tp, d.batch, d.context),
                   fmt::format("{:.2f} {:.2f}", predicted, d.ms));
  }
}

TEST(StepTimeTest, PrefillsOfOneAndTwoH100AreWithinFifteenPercent) {
  const Cluster h100 = cluster_of("h100-80gb", 2);
  struct Prefill {
    int tp;
    int64_t batch, length;
    double tokens_per_second;
  };
  for (const Prefill& p : {Prefill{1, 1, 2048, 46000}, Prefill{1, 4, 2048, 48700}, Prefill{1, 1, 8000, 43600},
                           Prefill{2, 4, 2048, 83900}, Prefill{2, 1, 8000, 76200}}) {
    const StepTimeModel model(planned("qwen2.5-7b"), h100, p.tp);
    const double rate = static_cast<double>(p.batch * p.length) / model.prefill(p.batch, p.length, 8192).total();
    EXPECT_NEAR(rate / p.tokens_per_second, 1.0, kTolerance)
        << "tp " << p.tp << ", " << p.batch << "x" << p.length << ": " << rate;
    RecordProperty(fmt::format("tp{}_{}x{}", p.tp, p.batch, p.length), fmt::format("{:.0f} {:.0f}", rate, p.tokens_per_second));
  }
}

// `lockstep bench comm` on two H100 over NVLink, microseconds. What the norm of many rows costs is counted with the activations;
// of few it is the wait for them, which only the AllReduce has. At 1 to 4 MB, where peer memory goes from one way to the other,
// the straight line is up to 26 % off; such a message is a small part of its step.
TEST(StepTimeTest, AllReducesOfTwoH100AreWithinFifteenPercent) {
  const Cluster h100 = cluster_of("h100-80gb", 2);
  struct Sum {
    int64_t bytes;
    double us;
  };
  const Sum with_norm[] = {{14 << 10, 3.9}, {64 << 10, 4.2}, {256 << 10, 4.7}}, alone[] = {{16 << 20, 60.3}, {64 << 20, 215}};
  const auto hold = [&](const Sum& s) {
    EXPECT_NEAR(all_reduce_seconds(h100, static_cast<double>(s.bytes), 2) * 1e6 / s.us, 1.0, kTolerance) << s.bytes;
  };
  for (const Sum& s : with_norm) hold(s);
  for (const Sum& s : alone) hold(s);
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
    EXPECT_GT(time.all_reduce, 160 * 3.9e-6) << tp;  // two a layer, none faster than its latency
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
