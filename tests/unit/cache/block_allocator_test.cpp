#include "cache/block_allocator.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace lockstep {
namespace {

TEST(BlockAllocator, HandsEveryBlockOutOnce) {
  BlockAllocator allocator(7);
  std::set<int32_t> seen;
  for (int i = 0; i < 7; ++i) seen.insert(allocator.allocate());
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.begin(), 0);
  EXPECT_EQ(*seen.rbegin(), 6);
  EXPECT_EQ(allocator.num_free(), 0);
  EXPECT_THROW(allocator.allocate(), Error);
}

TEST(BlockAllocator, RefusesBlocksThatAreNotInUse) {
  BlockAllocator allocator(3);
  const int32_t block = allocator.allocate();
  allocator.release(block);
  EXPECT_THROW(allocator.release(block), Error);
  EXPECT_THROW(allocator.release(-1), Error);
  EXPECT_THROW(allocator.release(3), Error);
  EXPECT_EQ(allocator.allocate(), block);  // the one touched last comes first
}

}  // namespace
}  // namespace lockstep
