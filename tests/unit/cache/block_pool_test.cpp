#include "cache/block_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace lockstep {
namespace {

TEST(BlockPool, HandsEveryBlockOutOnce) {
  BlockPool pool(7);
  std::set<int32_t> seen;
  for (int i = 0; i < 7; ++i) seen.insert(pool.allocate());
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.begin(), 0);
  EXPECT_EQ(*seen.rbegin(), 6);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_THROW(pool.allocate(), Error);
}

TEST(BlockPool, RefusesBlocksThatAreNotInUse) {
  BlockPool pool(3);
  const int32_t block = pool.allocate();
  EXPECT_THROW(pool.acquire(block), Error) << "nothing is known of its contents";
  pool.release(block);
  EXPECT_THROW(pool.release(block), Error);
  EXPECT_THROW(pool.release(-1), Error);
  EXPECT_THROW(pool.release(3), Error);
  EXPECT_THROW(pool.publish(block, BlockHash{}), Error);
  EXPECT_EQ(pool.allocate(), block) << "the one touched last comes first";
}

TEST(BlockPool, KeepsContentsUntilTheBlockIsNeededForOthersOldestFirst) {
  BlockHasher hasher;
  BlockPool pool(3);
  std::vector<int32_t> blocks;
  std::vector<BlockHash> hashes;
  for (int32_t i = 0; i < 3; ++i) {
    hashes.push_back(hasher.block(hasher.root(""), std::vector<int32_t>{i, i + 1}));
    blocks.push_back(pool.allocate());
    pool.publish(blocks.back(), hashes.back());
  }
  EXPECT_THROW(pool.publish(blocks[0], hashes[1]), Error);
  pool.acquire(blocks[1]);
  for (const int32_t block : {blocks[2], blocks[1], blocks[0]}) pool.release(block);
  EXPECT_EQ(pool.num_users(blocks[1]), 1);
  EXPECT_EQ(pool.num_free(), 2);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(pool.find(hashes[i]), blocks[i]);
  EXPECT_EQ(pool.allocate(), blocks[2]) << "released longest ago";
  EXPECT_EQ(pool.find(hashes[2]), -1);
  pool.acquire(pool.find(hashes[0]));
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_THROW(pool.allocate(), Error);
  pool.release(blocks[1]);
  EXPECT_EQ(pool.allocate(), blocks[1]);
  EXPECT_EQ(pool.num_cached(), 1);
}

TEST(BlockPool, OfTwoBlocksWithTheSameContentsTheFirstIsFound) {
  BlockPool pool(2);
  const BlockHash hash = BlockHasher().root("x");
  const int32_t first = pool.allocate(), second = pool.allocate();
  pool.publish(first, hash);
  pool.publish(second, hash);
  EXPECT_EQ(pool.find(hash), first);
  pool.release(first);
  pool.release(second);
  EXPECT_EQ(pool.allocate(), second) << "it holds nothing that could be found";
  EXPECT_EQ(pool.find(hash), first);
}

TEST(BlockHash, DependsOnAllThatChangesTheContents) {
  BlockHasher hasher;
  const std::vector<int32_t> tokens = {1, 2, 3, 4};
  const BlockHash root = hasher.root("");
  const BlockHash one = hasher.block(root, tokens);
  EXPECT_EQ(one, BlockHasher().block(BlockHasher().root(""), tokens));
  EXPECT_NE(one, hasher.block(root, std::vector<int32_t>{1, 2, 3, 5}));
  EXPECT_NE(one, hasher.block(root, std::vector<int32_t>{2, 1, 3, 4}));
  EXPECT_NE(one, hasher.block(hasher.root("another adapter"), tokens));
  EXPECT_NE(one, hasher.block(one, tokens)) << "the same tokens later in a sequence";
}

}  // namespace
}  // namespace lockstep
