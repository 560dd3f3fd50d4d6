// CompiledGrammar: a grammar with the vocabulary of a model: which tokens may come next. Many sequences share one.
//
// A mask is the union of what each thread allows. What a thread allows by itself depends on its state alone and is kept; only
// where a token goes on behind the end of the thread's rule does its stack matter, and few tokens do. So a mask that is not known
// costs microseconds once its states are.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/stepper.h"
#include "grammar/vocabulary.h"

namespace lockstep::grammar {

// Allowed tokens: bit t % 32 of word t / 32 is token t.
struct TokenMask {
  uint64_t id = 0;  // no two masks of the process have the same
  std::vector<uint32_t> words;
  bool allows(int32_t token) const {
    return (words[static_cast<size_t>(token) / 32] >> (static_cast<uint32_t>(token) % 32) & 1) != 0;
  }
  bool any() const;
};

class CompiledGrammar {
 public:
  // ends: tokens that may come when the grammar is complete, and end the sequence. Throws Error where no token can begin.
  CompiledGrammar(Grammar grammar, std::shared_ptr<const Vocabulary> vocabulary, std::vector<int32_t> ends);

  // From here on: one thread at a time.
  Stepper& stepper() { return stepper_; }
  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // What may come at `position`; is_first: no token has come yet.
  std::shared_ptr<const TokenMask> mask(const Position& position, bool is_first);
  // Looks up what the states that allow most allow, as long as there is time.
  void warm_up();
  // Any thread. It remembers more stacks than is good: later requests should begin with a new one.
  bool is_overgrown() const { return overgrown_.load(std::memory_order_relaxed); }

  struct Stats {
    int64_t masks_found = 0;
    int64_t masks_made = 0;
    int64_t states_walked = 0;
  };
  const Stats& stats() const { return stats_; }

 private:
  static constexpr size_t kMaxCacheBytes = size_t{16} << 20;  // of each of the caches below
  static constexpr size_t kMaxStacks = size_t{1} << 20;

  // What a thread allows whose stack is not known.
  struct Allowance {
    std::vector<int32_t> tokens;   // where they are few
    std::vector<uint32_t> words;   // else
    std::vector<uint32_t> leaves;  // nodes of the trie at which the thread's rule ends and below which there are others
  };
  struct MaskKey {
    std::vector<Thread> threads;
    bool may_end = false;
    bool is_first = false;
    bool operator==(const MaskKey&) const = default;
  };
  struct MaskKeyHash {
    size_t operator()(const MaskKey& key) const;
  };

  const Allowance& allowance(StateId state, bool is_first);
  // Visits the nodes [begin, end) of the trie, all below one at `depth` where the position is levels_[depth]. At each that is
  // reached: the tokens into `words`, and on_leave(node) where StackPool::kUnknown is left.
  template <typename OnLeave>
  void walk(const TokenTrie& trie, uint32_t begin, uint32_t end, std::vector<uint32_t>& words, const OnLeave& on_leave);

  // Where the walk is after the bytes of a node: one thread that needs no care, or any number.
  struct Level {
    Thread plain;
    bool is_plain = false;
    Position position;
  };
  bool step_level(const Level& from, uint8_t byte, Level& to);

  Grammar grammar_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<int32_t> ends_;
  StackPool stacks_;
  Stepper stepper_;
  std::vector<Level> levels_;                          // by depth in the trie
  std::unordered_map<int64_t, Allowance> allowances_;  // by 2 * state + is_first
  size_t allowance_bytes_ = 0;
  std::unordered_map<MaskKey, std::shared_ptr<const TokenMask>, MaskKeyHash> masks_;
  size_t mask_bytes_ = 0;
  Stats stats_;
  std::atomic<bool> overgrown_{false};
};

// One sequence's way through a grammar.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<CompiledGrammar> compiled);

  std::shared_ptr<const TokenMask> mask() { return compiled_->mask(position_, is_first_); }
  // Takes a token that mask() allows and that is no end. Throws Error for another.
  void accept(int32_t token);
  bool may_end() const { return position_.may_end; }
  // Nothing can follow.
  bool is_complete() const { return position_.threads.empty(); }

 private:
  std::shared_ptr<CompiledGrammar> compiled_;
  Position position_;
  bool is_first_ = true;
};

}  // namespace lockstep::grammar
