#include "grammar/compiled_grammar.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"

namespace lockstep::grammar {
namespace {

uint64_t next_mask_id() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

void set_bit(std::vector<uint32_t>& words, int32_t token) {
  words[static_cast<size_t>(token) / 32] |= uint32_t{1} << (static_cast<uint32_t>(token) % 32);
}

}  // namespace

bool TokenMask::any() const {
  return std::any_of(words.begin(), words.end(), [](uint32_t word) { return word != 0; });
}

size_t CompiledGrammar::MaskKeyHash::operator()(const MaskKey& key) const {
  uint64_t hash = 0xcbf29ce484222325u ^ (key.may_end ? 1u : 0u) ^ (key.is_first ? 2u : 0u);  // FNV-1a, on words
  for (const Thread& thread : key.threads) {
    hash = (hash ^ static_cast<uint32_t>(thread.stack)) * 0x100000001b3u;
    hash = (hash ^ static_cast<uint32_t>(thread.state)) * 0x100000001b3u;
  }
  return static_cast<size_t>(hash ^ (hash >> 32));
}

CompiledGrammar::CompiledGrammar(Grammar grammar, std::shared_ptr<const Vocabulary> vocabulary, std::vector<int32_t> ends)
    : grammar_(std::move(grammar)), vocabulary_(std::move(vocabulary)), ends_(std::move(ends)), stepper_(grammar_, stacks_) {
  levels_.resize(1 + size_t{std::max(vocabulary_->trie(true).max_depth(), vocabulary_->trie(false).max_depth())});
  for (const int32_t token : ends_) {
    check(token >= 0 && token < vocabulary_->size(), "the end token {} is outside the vocabulary of {}", token,
          vocabulary_->size());
  }
  const Position start = stepper_.start();
  // The grammar of nothing but the empty text is complete before it begins.
  check(start.threads.empty() || mask(start, true)->any(), "no token of the model can begin what the grammar allows");
}

bool CompiledGrammar::step_level(const Level& from, uint8_t byte, Level& to) {
  if (from.is_plain) {
    const StateId state = grammar_.step(from.plain.state, byte);
    if (state == kNoState) return false;
    if (!grammar_.branches(state)) {
      to.plain = {from.plain.stack, state};
      to.is_plain = true;
      return true;
    }
    to.is_plain = false;
    stepper_.step(from.plain, byte, to.position);
    return true;
  }
  to.is_plain = false;
  stepper_.step(from.position, byte, to.position);
  if (!to.position.alive()) return false;
  const Position& p = to.position;
  if (p.threads.size() == 1 && !p.may_end && !p.left_unknown && !grammar_.branches(p.threads[0].state)) {
    to.plain = p.threads[0];
    to.is_plain = true;
  }
  return true;
}

template <typename OnLeave>
void CompiledGrammar::walk(const TokenTrie& trie, uint32_t begin, uint32_t end, std::vector<uint32_t>& words,
                           const OnLeave& on_leave) {
  for (uint32_t i = begin; i < end;) {
    const TokenTrie::Node& node = trie.node(i);
    Level& level = levels_[node.depth];
    if (!step_level(levels_[node.depth - 1u], node.byte, level)) {
      i = node.end;
      continue;
    }
    for (const int32_t token : trie.tokens(i)) set_bit(words, token);
    if (!level.is_plain && level.position.left_unknown && node.end > i + 1) on_leave(i);
    i = level.is_plain || !level.position.threads.empty() ? i + 1 : node.end;
  }
}

const CompiledGrammar::Allowance& CompiledGrammar::allowance(StateId state, bool is_first) {
  const int64_t key = int64_t{state} * 2 + (is_first ? 1 : 0);
  const auto found = allowances_.find(key);
  if (found != allowances_.end()) return found->second;
  ++stats_.states_walked;
  const TokenTrie& trie = vocabulary_->trie(is_first);
  Allowance all;
  all.words.resize(static_cast<size_t>((vocabulary_->size() + 31) / 32));
  if (trie.num_nodes() > 0) {
    levels_[0].is_plain = true;
    levels_[0].plain = {StackPool::kUnknown, state};
    walk(trie, 1, trie.num_nodes(), all.words, [&](uint32_t node) { all.leaves.push_back(node); });
  }
  size_t count = 0;
  for (const uint32_t word : all.words) count += static_cast<size_t>(__builtin_popcount(word));
  if (count < all.words.size() / 2) {
    for (size_t w = 0; w < all.words.size(); ++w) {
      for (uint32_t bits = all.words[w]; bits != 0; bits &= bits - 1) {
        all.tokens.push_back(static_cast<int32_t>(w * 32) + __builtin_ctz(bits));
      }
    }
    all.words = {};
  }
  const size_t bytes = sizeof(Allowance) + (all.tokens.size() + all.words.size() + all.leaves.size()) * sizeof(uint32_t);
  if (allowance_bytes_ + bytes > kMaxCacheBytes) {
    allowances_.clear();
    allowance_bytes_ = 0;
  }
  allowance_bytes_ += bytes;
  return allowances_.emplace(key, std::move(all)).first->second;
}

std::shared_ptr<const TokenMask> CompiledGrammar::mask(const Position& position, bool is_first) {
  MaskKey key{position.threads, position.may_end, is_first};
  const auto found = masks_.find(key);
  if (found != masks_.end()) {
    ++stats_.masks_found;
    return found->second;
  }
  ++stats_.masks_made;
  auto mask = std::make_shared<TokenMask>();
  mask->id = next_mask_id();
  std::vector<uint32_t>& words = mask->words;
  words.resize(static_cast<size_t>((vocabulary_->size() + 31) / 32));
  const TokenTrie& trie = vocabulary_->trie(is_first);
  for (const Thread& thread : position.threads) {
    const Allowance& all = allowance(thread.state, is_first);
    for (size_t w = 0; w < all.words.size(); ++w) words[w] |= all.words[w];
    for (const int32_t token : all.tokens) set_bit(words, token);
    if (all.leaves.empty() || thread.stack == StackPool::kBottom) continue;
    Position behind;
    stepper_.leave(thread.stack, behind);
    if (behind.threads.empty()) continue;
    for (const uint32_t node : all.leaves) {
      Level& level = levels_[trie.node(node).depth];
      level.is_plain = false;
      level.position = behind;
      walk(trie, node + 1, trie.node(node).end, words, [](uint32_t) {});
    }
  }
  if (position.may_end) {
    for (const int32_t token : ends_) set_bit(words, token);
  }
  const size_t bytes = sizeof(TokenMask) + words.size() * sizeof(uint32_t) + key.threads.size() * sizeof(Thread) + 64;
  if (mask_bytes_ + bytes > kMaxCacheBytes) {
    masks_.clear();
    mask_bytes_ = 0;
  }
  mask_bytes_ += bytes;
  masks_.emplace(std::move(key), mask);
  if (stacks_.size() > kMaxStacks) overgrown_.store(true, std::memory_order_relaxed);
  return mask;
}

void CompiledGrammar::warm_up() {
  constexpr auto kTime = std::chrono::milliseconds(20);
  constexpr int32_t kWide = 64;  // bytes that lead on: such states let much of the vocabulary through
  const auto start = std::chrono::steady_clock::now();
  for (StateId state = 0; state < grammar_.num_states(); ++state) {
    if (grammar_.fan_out(state) < kWide) continue;
    if (std::chrono::steady_clock::now() - start > kTime) return;
    allowance(state, /*is_first=*/false);
  }
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<CompiledGrammar> compiled)
    : compiled_(std::move(compiled)), position_(compiled_->stepper().start()) {}

void GrammarMatcher::accept(int32_t token) {
  const std::string_view text = compiled_->vocabulary().text(token, is_first_);
  check(!text.empty() && compiled_->stepper().advance(position_, text), "token {} came, which the grammar does not allow", token);
  is_first_ = false;
}

}  // namespace lockstep::grammar
