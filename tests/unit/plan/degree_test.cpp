#include "plan/degree.h"

#include <gtest/gtest.h>

#include "unit/plan/planning.h"

namespace lockstep {
namespace {

using testing::planned;

TEST(DegreeTest, EveryDegreeOfLlama8BUpToTheHeadsIsPossible) {
  const PlannedModel model = planned("llama-3-8b");  // 32 query heads, 8 KV heads
  for (int tp = 1; tp <= 8; ++tp) {
    const Degree d = judge_degree(model, tp);
    EXPECT_TRUE(d.possible) << tp;
    EXPECT_EQ(d.most_heads, (32 + tp - 1) / tp) << tp;
    EXPECT_EQ(d.ranks_without_heads, 0) << tp;
    EXPECT_EQ(d.is_even(), tp == 1 || tp == 2 || tp == 4 || tp == 8) << tp;
    EXPECT_EQ(d.waste.empty(), d.is_even()) << tp << ": " << d.waste;
  }
  // 11, 11, 10 query heads of groups of 4: the runs 0-10, 11-21, 22-31 read KV heads 0-2, 2-5, 5-7.
  EXPECT_EQ(judge_degree(model, 3).kv_heads_held, 10);
  EXPECT_EQ(judge_degree(model, 3).extra_kv_heads, 2);
}

TEST(DegreeTest, MoreRanksThanKvHeadsHoldThemSeveralTimes) {
  const Degree d = judge_degree(planned("llama-3-70b"), 16);  // 64 query heads, 8 KV heads
  EXPECT_TRUE(d.possible);
  EXPECT_EQ(d.most_kv_heads, 1);
  EXPECT_EQ(d.kv_heads_held, 16);
  EXPECT_EQ(d.extra_kv_heads, 8);
  EXPECT_NE(d.waste.find("16 KV heads held for 8"), std::string::npos) << d.waste;
}

TEST(DegreeTest, RanksWithoutHeadsAreSaid) {
  const Degree d = judge_degree(planned("qwen2.5-0.5b"), 16);  // 14 query heads
  EXPECT_TRUE(d.possible);
  EXPECT_EQ(d.ranks_without_heads, 2);
  EXPECT_NE(d.waste.find("2 ranks without heads"), std::string::npos) << d.waste;
}

TEST(DegreeTest, ADegreeWithoutAnythingToDealIsNotPossibleAndSaysWhich) {
  const Degree d = judge_degree(planned("smollm2-135m"), 4000);  // 49152 / 16 units of vocabulary
  EXPECT_FALSE(d.possible);
  EXPECT_NE(d.why_not.find("possible are 1 to 3072"), std::string::npos) << d.why_not;
}

TEST(DegreeTest, AQuantizationGroupIsNeverCut) {
  // 14 heads of 64 in groups of 128: 7 ranks of two heads cut between groups, 2 ranks of seven heads at feature 448.
  const PlannedModel small = planned("qwen2.5-0.5b", "int4");
  EXPECT_TRUE(judge_degree(small, 7).possible);
  const Degree two = judge_degree(small, 2);
  EXPECT_FALSE(two.possible);
  EXPECT_NE(two.why_not.find("o_proj"), std::string::npos) << two.why_not;
  EXPECT_NE(two.why_not.find("128"), std::string::npos) << two.why_not;
  EXPECT_TRUE(judge_degree(planned("qwen2.5-0.5b", "int8"), 2).possible);
  EXPECT_TRUE(judge_degree(planned("qwen2.5-7b", "int4"), 3).possible);
}

TEST(DegreeTest, TheLatentIsWholeOnEveryRank) {
  const Degree d = judge_degree(planned("deepseek-v2"), 8);
  EXPECT_TRUE(d.possible);
  EXPECT_EQ(d.extra_kv_heads, 0);
  EXPECT_NE(d.waste.find("KV cache is whole on all 8 ranks"), std::string::npos) << d.waste;
}

}  // namespace
}  // namespace lockstep
