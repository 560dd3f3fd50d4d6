#include "grammar/stepper.h"

#include <algorithm>
#include <utility>

namespace lockstep::grammar {

StackPool::StackPool() : nodes_{{-1, kNoState}, {-1, kNoState}} {}

StackId StackPool::push(StackId below, StateId return_to) {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(below)) << 32 | static_cast<uint32_t>(return_to);
  const auto [it, is_new] = known_.try_emplace(key, static_cast<StackId>(nodes_.size()));
  if (is_new) nodes_.push_back({below, return_to});
  return it->second;
}

Position Stepper::start() {
  Position position;
  visited_.clear();
  add(StackPool::kBottom, grammar_.start(), position);
  return position;
}

void Stepper::add(StackId stack, StateId state, Position& out) {
  const Thread thread{stack, state};
  if (!grammar_.branches(state)) {
    if (std::find(out.threads.begin(), out.threads.end(), thread) == out.threads.end() && out.threads.size() < kMaxThreads) {
      out.threads.push_back(thread);
    }
    return;
  }
  if (visited_.size() >= kMaxThreads || std::find(visited_.begin(), visited_.end(), thread) != visited_.end()) return;
  visited_.push_back(thread);
  if (grammar_.has_bytes(state) && out.threads.size() < kMaxThreads) out.threads.push_back(thread);
  for (const Grammar::Call& call : grammar_.calls(state)) {
    // Nothing but the end follows the call: what is below is what to return to, and stacks do not grow.
    const bool is_last = grammar_.accepts(call.to) && !grammar_.has_bytes(call.to) && grammar_.calls(call.to).empty();
    add(is_last ? stack : stacks_.push(stack, call.to), call.start, out);
  }
  if (grammar_.accepts(state)) pop(stack, out);
}

void Stepper::pop(StackId stack, Position& out) {
  if (stack == StackPool::kBottom) {
    out.may_end = true;
  } else if (stack == StackPool::kUnknown) {
    out.left_unknown = true;
  } else {
    add(stacks_.below(stack), stacks_.return_to(stack), out);
  }
}

void Stepper::leave(StackId stack, Position& out) {
  visited_.clear();
  pop(stack, out);
}

void Stepper::follow(const Thread& thread, uint8_t byte, Position& out) {
  const StateId to = grammar_.step(thread.state, byte);
  if (to != kNoState) add(thread.stack, to, out);
}

void Stepper::step(const Thread& from, uint8_t byte, Position& out) {
  out.clear();
  visited_.clear();
  follow(from, byte, out);
}

void Stepper::step(const Position& from, uint8_t byte, Position& out) {
  out.clear();
  visited_.clear();
  for (const Thread& thread : from.threads) follow(thread, byte, out);
}

bool Stepper::advance(Position& position, std::string_view bytes) {
  now_ = position;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    // Mostly a text goes on in one rule.
    if (now_.threads.size() == 1) {
      Thread& only = now_.threads.front();
      const StateId to = grammar_.step(only.state, byte);
      if (to == kNoState) return false;
      if (!grammar_.branches(to)) {
        only.state = to;
        now_.may_end = now_.left_unknown = false;
        continue;
      }
    }
    step(now_, byte, next_);
    if (!next_.alive()) return false;
    std::swap(now_, next_);
  }
  std::swap(position, now_);
  return true;
}

}  // namespace lockstep::grammar
