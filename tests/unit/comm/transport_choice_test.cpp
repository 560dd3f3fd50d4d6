#include "comm/transport_choice.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lockstep {
namespace {

bool takes_peer(const TransportFacts& f) { return choose_transport(f).transport == Transport::kPeer; }

TransportFacts facts(AllReduceChoice choice, bool one_host, int per_gpu, int nccl) {
  return {choice, 4, 16, one_host ? 1 : 2, one_host ? 4 : 2, per_gpu, false, nccl};
}

TEST(TransportChoice, PeerMemoryOverNvlink) {
  TransportFacts f = facts(AllReduceChoice::kAuto, true, 1, 22809);
  f.nvlink = true;
  EXPECT_TRUE(takes_peer(f));
  EXPECT_TRUE(choose_transport(f).nccl_fallback);
  f.hosts = 2;
  EXPECT_FALSE(takes_peer(f));
  f.hosts = 1;
  f.ranks = 17;
  EXPECT_FALSE(takes_peer(f));
}

TEST(TransportChoice, NcclWithoutNvlink) {
  for (const bool one_host : {true, false}) {
    const auto c = choose_transport(facts(AllReduceChoice::kAuto, one_host, 1, 22809));
    EXPECT_NE(c.transport, Transport::kPeer);
  }
}

TEST(TransportChoice, PeerMemoryOnASharedGpu) {
  const auto old = choose_transport(facts(AllReduceChoice::kAuto, true, 2, 22809));
  EXPECT_EQ(old.transport, Transport::kPeer);
  EXPECT_FALSE(old.nccl_fallback);
  EXPECT_NE(old.reason.find("2.28.9"), std::string::npos) << old.reason;
  const auto recent = choose_transport(facts(AllReduceChoice::kAuto, true, 2, 23007));
  EXPECT_EQ(recent.transport, Transport::kPeer);
  EXPECT_TRUE(recent.nccl_fallback);
}

TEST(TransportChoice, WhatIsAskedForOrAnError) {
  EXPECT_TRUE(takes_peer(facts(AllReduceChoice::kPeer, true, 1, 22809)));
  EXPECT_FALSE(takes_peer(facts(AllReduceChoice::kNccl, true, 2, 23007)));
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kNccl, true, 2, 23006)), Error);
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kPeer, false, 1, 23007)), Error);
}

TEST(TransportChoice, HierarchicalIsPeerMemoryWithinAndNcclAcross) {
  TransportFacts f = facts(AllReduceChoice::kHierarchical, false, 1, 22809);
  EXPECT_EQ(choose_transport(f).transport, Transport::kHierarchical);
  f.ranks_per_host = 0;  // not as many on each
  EXPECT_THROW(choose_transport(f), Error);
  f.ranks_per_host = 17;
  EXPECT_THROW(choose_transport(f), Error);
  f.ranks_per_host = 1;
  EXPECT_EQ(choose_transport(f).transport, Transport::kNccl);
  f = facts(AllReduceChoice::kHierarchical, true, 1, 22809);
  EXPECT_EQ(choose_transport(f).transport, Transport::kPeer);
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kHierarchical, false, 2, 23006)), Error);
  EXPECT_EQ(choose_transport(facts(AllReduceChoice::kHierarchical, false, 2, 23007)).transport, Transport::kHierarchical);
  EXPECT_EQ(choose_transport(facts(AllReduceChoice::kAuto, false, 1, 22809)).transport, Transport::kNccl);
}

TEST(TransportChoice, NothingWorks) {
  EXPECT_THROW(choose_transport(facts(AllReduceChoice::kAuto, false, 2, 22809)), Error);
  EXPECT_FALSE(takes_peer(facts(AllReduceChoice::kAuto, false, 2, 23007)));
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
