#include "comm/transport_choice.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lockstep {
namespace {

TransportFacts facts(AllReduceChoice choice, bool one_host, int per_gpu, int nccl) {
  return {choice, 4, 16, one_host, per_gpu, false, nccl};
}

TEST(TransportChoice, PeerMemoryOverNvlink) {
  TransportFacts f = facts(AllReduceChoice::kAuto, true, 1, 22809);
  f.nvlink = true;
  EXPECT_TRUE(choose_transport(f).peer);
  EXPECT_TRUE(choose_transport(f).nccl_fallback);
  f.one_host = false;
  EXPECT_FALSE(choose_transport(f).peer);
  f.one_host = true;
  f.ranks = 17;
  EXPECT_FALSE(choose_transport(f).peer);
}

TEST(TransportChoice, NcclWithoutNvlink) {
  for (const bool one_host : {true, false}) {
    const auto c = choose_transport(facts(AllReduceChoice::kAuto, one_host, 1, 22809));
    EXPECT_FALSE(c.peer);
  }
}

TEST(TransportChoice, PeerMemoryOnASharedGpu) {
  const auto old = choose_transport(facts(AllReduceChoice::kAuto, true, 2, 22809));
  EXPECT_TRUE(old.peer);
  EXPECT_FALSE(old.nccl_fallback);
  EXPECT_NE(old.reason.find("2.28.9"), std::string::npos) << old.reason;
  const auto recent = choose_transport(facts(AllReduceChoice::kAuto, true, 2, 23007));
  EXPECT_TRUE(recent.peer);
  EXPECT_TRUE(recent.nccl_fallback);
}

TEST(TransportChoice, WhatIsAskedForOrAnError) {
  EXPECT_TRUE(choose_transport(facts(AllReduceChoice::kPeer, true, 1, 22809)).peer);
  EXPECT_FALSE(choose_transport(facts(AllReduceChoice::kNccl, true, 2, 23007)).peer);
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kNccl, true, 2, 23006)), Error);
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kPeer, false, 1, 23007)), Error);
}

TEST(TransportChoice, NothingWorks) {
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kAuto, false, 2, 22809)), Error);
  EXPECT_FALSE(choose_transport(facts(AllReduceChoice::kAuto, false, 2, 23007)).peer);
  TransportFacts many = facts(AllReduceChoice::kAuto, true, 17, 22809);
  many.ranks = 17;
  EXPECT_THROW(choose_transport(many), Error);
}

TEST(TransportChoice, CtasFitTogether) {
  EXPECT_EQ(nccl_max_ctas(2), 16);
  EXPECT_EQ(nccl_max_ctas(3), 8);
  EXPECT_EQ(nccl_max_ctas(4), 8);
  EXPECT_EQ(nccl_max_ctas(8), 2);
  for (int n = 1; n < 64; ++n) EXPECT_GE(nccl_max_ctas(n), 1);
}

}  // namespace
}  // namespace lockstep
