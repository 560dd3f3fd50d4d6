// What ranks say of each other when something is wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/error.h"
#include "comm/collective_log.h"
#include "comm/faulty_communicator.h"
#include "comm/rank_position.h"
#include "comm/roll_call.h"
#include "comm/tick_board.h"

namespace lockstep {
namespace {

std::string name(int rank) { return fmt::format("rank {} on node{}", rank, rank / 2); }

RankStatus at(int64_t begun, int64_t step, const char* text) { return {RankPosition{begun, step}.packed(), text}; }

TEST(RollCall, NamesTheRankThatWaitsInAStepThatOthersHaveLeft) {
  // Rank 2 has repeated the last collective of step 3; rank 1 has begun step 4, and rank 0 waits for rank 2 to take its plan.
  EXPECT_EQ(RollCall::describe({at(25, 3, "a"), at(26, 4, "b"), at(26, 3, "c")}, name),
            "out of step: rank 2 on node1 (c), which may have repeated a collective");
  EXPECT_EQ(RollCall::describe({at(26, 4, "a"), at(26, 4, "b"), at(25, 3, "c")}, name), "behind: rank 2 on node1 (c)")
      << "late, but in order";
}

TEST(RollCall, NamesWhoIsMissingAndWhoIsBehind) {
  EXPECT_EQ(RollCall::describe({at(7, 3, "a"), std::nullopt, at(7, 3, "c"), std::nullopt}, name),
            "missing: rank 1 on node0, rank 3 on node1, which may be dead, stopped or unreachable");
  EXPECT_EQ(RollCall::describe({at(7, 3, "a"), at(5, 3, "step 3"), at(7, 3, "c")}, name), "behind: rank 1 on node0 (step 3)");
  EXPECT_EQ(RollCall::describe({at(6, 3, "x"), std::nullopt, at(7, 3, "c")}, name),
            "missing: rank 1 on node0, which may be dead, stopped or unreachable; behind: rank 0 on node0 (x)");
  EXPECT_EQ(
      RollCall::describe({at(6, 3, "a"), at(7, 3, "b"), at(6, 3, "c")}, name),
      "ahead of the others: rank 1 on node0 (b), which may have repeated a collective, unless these are slow: rank 0 on node0, "
      "rank 2 on node1");
  EXPECT_EQ(RollCall::describe({at(7, 3, "a"), at(7, 3, "b")}, name), "every rank answers and is at the same place");
}

// One that has just caught up, or answers late and is ahead by then, is told by how little it waited.
TEST(RollCall, NamesTheRankThatTheOthersWaitFor) {
  const auto name = [](int r) { return "rank " + std::to_string(r) + " on node" + std::to_string(r / 2); };
  const auto waiting = [](int64_t begun, double share) { return RankStatus{RankPosition{begun, 3}.packed(), "s", share}; };
  const std::string slow =
      "slow: rank 1 on node0 (s), which waited for others in 10 % of the looks at it since the step began, and these for it "
      "nearly "
      "always";
  EXPECT_EQ(RollCall::describe({waiting(7, 0.95), waiting(7, 0.1), waiting(7, 1.0)}, name), slow);
  EXPECT_EQ(RollCall::describe({waiting(7, 0.95), waiting(9, 0.1), waiting(7, 1.0)}, name), slow);
  EXPECT_EQ(RollCall::describe({waiting(7, 0.95), waiting(9, 0.1)}, name), slow);
  EXPECT_EQ(RollCall::describe({waiting(7, 0.95), waiting(6, 0.1), waiting(7, 1.0)}, name), "behind: rank 1 on node0 (s)");
  EXPECT_EQ(RollCall::describe({waiting(6, 0.95), waiting(7, -1.0), waiting(6, 0.1)}, name),
            "behind: rank 2 on node1 (s), for which the others that are not as far as some wait");
  const std::string alike = "every rank answers and is at the same place";
  EXPECT_EQ(RollCall::describe({waiting(7, 0.95), waiting(7, 0.85), waiting(7, 1.0)}, name), alike);
  EXPECT_EQ(RollCall::describe({waiting(7, 0.3), waiting(7, 0.1), waiting(7, 0.4)}, name), alike);  // the work is just long
  EXPECT_EQ(RollCall::describe({waiting(7, -1.0), waiting(7, 0.1), waiting(7, 0.9)}, name), alike);
  EXPECT_EQ(RollCall::describe({waiting(7, -1.0), waiting(7, 0.9)}, name),
            "slow: rank 0 on node0 (s), which waited for others in 0 % of the looks at it since the step began, and these for it "
            "nearly "
            "always");
}

TEST(CollectiveLog, SaysWhereARankIs) {
  CollectiveLog log;
  EXPECT_EQ(log.text(true), "no collective yet");
  log.begin_step(12);
  log.begin(CollectiveLog::Kind::kAllReduce, 8192);
  EXPECT_EQ(log.text(true),
            "last collective completed: none; waiting in step 12, embedding, all_reduce 1 of the step, 8192 bytes");
  log.end();
  for (int i = 0; i < 2; ++i) {
    log.begin(CollectiveLog::Kind::kAllReduce, 8192);
    log.end();
  }
  EXPECT_EQ(log.text(true), "last collective completed: step 12, layer 0, all_reduce 3 of the step, 8192 bytes");
  log.begin(CollectiveLog::Kind::kAllReduce, 8192);
  EXPECT_EQ(log.text(true),
            "last collective completed: step 12, layer 0, all_reduce 3 of the step, 8192 bytes; waiting in step 12, layer 1, "
            "all_reduce 4 of the step, 8192 bytes");
  EXPECT_EQ(log.text(false), "last collective started: step 12, layer 1, all_reduce 4 of the step, 8192 bytes");
  EXPECT_EQ(log.num_begun(), 4);
  log.end();
  log.begin_step(13);
  log.begin(CollectiveLog::Kind::kAllGather, 60);
  log.end();
  EXPECT_EQ(log.text(true), "last collective completed: step 13, all_gather 1 of the step, 60 bytes");
}

TEST(TickBoard, TellsARankThatIsElsewhere) {
  alignas(128) std::byte memory[1024] = {};
  ASSERT_GE(sizeof(memory), TickBoard::bytes_needed(2));
  TickBoard a(memory, 0), b(memory, 1);
  const CollectivePosition reduce{3, CollectivePosition::Kind::kAllReduce, 5, 144};
  CollectivePosition gather = reduce;
  gather.kind = CollectivePosition::Kind::kAllGather;
  a.begin_collective(reduce.packed());
  b.begin_collective(reduce.packed());
  for (uint32_t tick = 1; tick < 40; ++tick) {
    ASSERT_EQ(a.publish(), tick);
    ASSERT_EQ(b.publish(), tick);
    ASSERT_EQ(a.wait(1, tick, {}), TickBoard::Outcome::kArrived);
    ASSERT_TRUE(a.same_place(1, tick));
  }
  b.begin_collective(gather.packed());
  b.publish();
  a.publish();
  EXPECT_FALSE(a.same_place(1, 40));
  EXPECT_TRUE(a.same_place(1, 39)) << "what came before was right";
  EXPECT_EQ(CollectivePosition::unpacked(a.place_of(1)).text(), "step 3, all_gather 5 of the step, 144 bytes");
}

TEST(Fault, IsParsedOrRefused) {
  const Fault fault = Fault::parse("2:130:slow=50");
  EXPECT_EQ(fault.rank, 2);
  EXPECT_EQ(fault.number, 130);
  EXPECT_EQ(fault.kind, Fault::Kind::kSlow);
  EXPECT_EQ(fault.slow_ms, 50);
  for (const char* text : {"", "1", "1:2", "1:2:", "1:2:jump", "x:2:skip", "1::skip", "1:-2:skip", "1:2:slow=", "1:2:slow=x"}) {
    EXPECT_THROW(Fault::parse(text), Error) << text;
  }
}

}  // namespace
}  // namespace lockstep
