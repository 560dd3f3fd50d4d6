#include "cache/block_pool.h"

#include "base/error.h"

namespace lockstep {

BlockPool::BlockPool(int64_t num_blocks)
    : num_blocks_(num_blocks), num_free_(num_blocks), entries_(static_cast<size_t>(num_blocks) + 1) {
  at(head()).next = at(head()).previous = head();
  for (int32_t block = 0; block < num_blocks; ++block) link_after(block, at(head()).previous);
}

const BlockPool::Entry& BlockPool::entry(int32_t block) const {
  check(block >= 0 && block < num_blocks_, "there is no KV block {}; the pool has {}", block, num_blocks_);
  return entries_[static_cast<size_t>(block)];
}

void BlockPool::unlink(int32_t block) {
  const Entry& e = at(block);
  at(e.previous).next = e.next;
  at(e.next).previous = e.previous;
}

void BlockPool::link_after(int32_t block, int32_t previous) {
  Entry& e = at(block);
  e.previous = previous;
  e.next = at(previous).next;
  at(e.next).previous = block;
  at(previous).next = block;
}

int32_t BlockPool::allocate() {
  check(num_free_ > 0, "no KV block is free; all {} are in use", num_blocks_);
  const int32_t block = at(head()).next;
  unlink(block);
  --num_free_;
  Entry& e = at(block);
  e.users = 1;
  if (e.has_hash) by_hash_.erase(e.hash);
  e.has_hash = false;
  return block;
}

void BlockPool::release(int32_t block) {
  check(entry(block).users > 0, "KV block {} of {} is released but not in use", block, num_blocks_);
  Entry& e = at(block);
  if (--e.users > 0) return;
  ++num_free_;
  link_after(block, e.has_hash ? at(head()).previous : head());
}

int32_t BlockPool::find(const BlockHash& hash) const {
  const auto found = by_hash_.find(hash);
  return found == by_hash_.end() ? -1 : found->second;
}

void BlockPool::acquire(int32_t block) {
  check(entry(block).has_hash, "KV block {} is to be shared, but nothing is known of its contents", block);
  Entry& e = at(block);
  if (e.users++ > 0) return;
  unlink(block);
  --num_free_;
}

void BlockPool::publish(int32_t block, const BlockHash& hash) {
  check(entry(block).users > 0 && !entry(block).has_hash, "KV block {} is published, but it is {}", block,
        entry(block).has_hash ? "published already" : "not in use");
  if (!by_hash_.try_emplace(hash, block).second) return;
  at(block).has_hash = true;
  at(block).hash = hash;
}

}  // namespace lockstep
