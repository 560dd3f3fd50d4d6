// Stepper: follows a grammar byte by byte. Where it stands is a set of threads, each a state and a stack of states to return to.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"

namespace lockstep::grammar {

using StackId = int32_t;

// All stacks of a grammar, each once, as lists that share their ends.
class StackPool {
 public:
  static constexpr StackId kBottom = 0;   // the grammar ends here
  static constexpr StackId kUnknown = 1;  // of a thread that is looked at without what is below
  StackPool();
  StackId push(StackId below, StateId return_to);
  StackId below(StackId stack) const { return nodes_[static_cast<size_t>(stack)].below; }
  StateId return_to(StackId stack) const { return nodes_[static_cast<size_t>(stack)].return_to; }
  size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    StackId below;
    StateId return_to;
  };
  std::vector<Node> nodes_;
  std::unordered_map<uint64_t, StackId> known_;
};

struct Thread {
  StackId stack;
  StateId state;  // one that bytes lead on from
  bool operator==(const Thread&) const = default;
};

struct Position {
  std::vector<Thread> threads;
  bool may_end = false;       // the grammar is complete
  bool left_unknown = false;  // a thread on StackPool::kUnknown has come to the end of its rule
  void clear() {
    threads.clear();
    may_end = left_unknown = false;
  }
  bool alive() const { return may_end || left_unknown || !threads.empty(); }
};

class Stepper {
 public:
  // More threads are not followed: the language gets smaller, what is allowed stays right. Only grammars that are ambiguous in
  // every bracket need so many.
  static constexpr size_t kMaxThreads = 512;

  // Borrows both.
  Stepper(const Grammar& grammar, StackPool& stacks) : grammar_(grammar), stacks_(stacks) {}

  const Grammar& grammar() const { return grammar_; }
  Position start();
  // Where a thread is when the rule on top of `stack` has ended.
  void leave(StackId stack, Position& out);
  // out must not be `from`. Not alive: the byte is not allowed.
  void step(const Position& from, uint8_t byte, Position& out);
  void step(const Thread& from, uint8_t byte, Position& out);
  // All of `bytes`; false, and `position` as it was, where they are not allowed.
  bool advance(Position& position, std::string_view bytes);

 private:
  void follow(const Thread& thread, uint8_t byte, Position& out);
  // Adds a thread, and those of the rules that it may call or return to now.
  void add(StackId stack, StateId state, Position& out);
  void pop(StackId stack, Position& out);

  const Grammar& grammar_;
  StackPool& stacks_;
  std::vector<Thread> visited_;  // in the step being made
  Position now_, next_;          // of advance(), which need no memory of their own each time
};

}  // namespace lockstep::grammar
