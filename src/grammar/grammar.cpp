#include "grammar/grammar.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/error.h"

namespace lockstep::grammar {

int32_t Grammar::fan_out(StateId s) const {
  int32_t count = 0;
  for (int b = 0; b < 256; ++b) count += step(s, static_cast<uint8_t>(b)) != kNoState ? 1 : 0;
  return count;
}

RuleId GrammarBuilder::add_rule() {
  rules_.emplace_back();
  return static_cast<RuleId>(rules_.size()) - 1;
}

void GrammarBuilder::set_rule(RuleId rule, Dfa dfa) { rules_.at(static_cast<size_t>(rule)) = std::move(dfa); }

// Bytes of one class may be in the alphabet or not, so a class of its own is made for those that are not.
void GrammarBuilder::drop_bytes(const Alphabet& alphabet) {
  if (alphabet.all()) return;
  for (Dfa& dfa : rules_) {
    std::vector<int32_t> kept_as(static_cast<size_t>(dfa.num_classes), -1);  // by old class
    std::vector<int32_t> old_class;                                          // by new class; -1: of what is dropped
    std::array<uint8_t, 256> class_of{};
    int32_t dropped = -1;
    for (size_t b = 0; b < 256; ++b) {
      int32_t& kept = alphabet[b] ? kept_as[dfa.class_of[b]] : dropped;
      if (kept < 0) {
        kept = static_cast<int32_t>(old_class.size());
        old_class.push_back(alphabet[b] ? dfa.class_of[b] : -1);
      }
      class_of[b] = static_cast<uint8_t>(kept);
    }
    std::vector<int32_t> next;
    next.reserve(static_cast<size_t>(dfa.num_states()) * old_class.size());
    for (int32_t s = 0; s < dfa.num_states(); ++s) {
      const int32_t* row = dfa.next.data() + static_cast<size_t>(s) * static_cast<size_t>(dfa.num_classes);
      for (const int32_t old : old_class) next.push_back(old < 0 ? Dfa::kDead : row[old]);
    }
    dfa.class_of = class_of;
    dfa.num_classes = static_cast<int32_t>(old_class.size());
    dfa.next = std::move(next);
  }
}

// From the ends backwards: a state leads to the end of its rule if a byte does so, or a call of a rule that can end.
void GrammarBuilder::find_productive() {
  struct Place {
    RuleId rule;
    int32_t state;
  };
  productive_.clear();
  std::vector<std::vector<std::vector<int32_t>>> by_byte(rules_.size());  // [rule][state]: states that a byte leads here from
  std::vector<std::vector<std::vector<int32_t>>> by_call(rules_.size());  // likewise by a call
  std::vector<std::vector<Place>> callers(rules_.size());                 // states that call the rule
  std::vector<Place> todo;
  for (size_t r = 0; r < rules_.size(); ++r) {
    const Dfa& dfa = rules_[r];
    const auto n = static_cast<size_t>(dfa.num_states());
    productive_.emplace_back(n, false);
    by_byte[r].resize(n);
    by_call[r].resize(n);
    for (int32_t s = 0; s < dfa.num_states(); ++s) {
      for (int32_t c = 0; c < dfa.num_classes; ++c) {
        const int32_t to = dfa.next[static_cast<size_t>(s) * static_cast<size_t>(dfa.num_classes) + static_cast<size_t>(c)];
        if (to == Dfa::kDead) continue;
        std::vector<int32_t>& from = by_byte[r][static_cast<size_t>(to)];
        if (from.empty() || from.back() != s) from.push_back(s);
      }
      for (const Dfa::Call& call : dfa.calls[static_cast<size_t>(s)]) {
        by_call[r][static_cast<size_t>(call.to)].push_back(s);
        callers[static_cast<size_t>(call.rule)].push_back({static_cast<RuleId>(r), s});
      }
      if (dfa.accepting[static_cast<size_t>(s)]) todo.push_back({static_cast<RuleId>(r), s});
    }
  }
  const auto is_productive = [&](RuleId rule, int32_t state) {
    return productive_[static_cast<size_t>(rule)][static_cast<size_t>(state)];
  };
  const auto call_works = [&](const Place& p) {
    const auto& calls = rules_[static_cast<size_t>(p.rule)].calls[static_cast<size_t>(p.state)];
    return std::any_of(calls.begin(), calls.end(),
                       [&](const Dfa::Call& c) { return is_productive(c.rule, 0) && is_productive(p.rule, c.to); });
  };
  while (!todo.empty()) {
    const Place p = todo.back();
    todo.pop_back();
    const auto r = static_cast<size_t>(p.rule), s = static_cast<size_t>(p.state);
    if (productive_[r][s]) continue;
    productive_[r][s] = true;
    for (const int32_t from : by_byte[r][s]) todo.push_back({p.rule, from});
    for (const int32_t from : by_call[r][s]) {
      if (call_works({p.rule, from})) todo.push_back({p.rule, from});
    }
    if (p.state != 0) continue;
    for (const Place& caller : callers[r]) {
      if (call_works(caller)) todo.push_back(caller);
    }
  }
}

void GrammarBuilder::drop_dead() {
  for (size_t r = 0; r < rules_.size(); ++r) {
    const auto lives = [&](size_t rule, int32_t state) { return productive_[rule][static_cast<size_t>(state)]; };
    for (int32_t& to : rules_[r].next) {
      if (to != Dfa::kDead && !lives(r, to)) to = Dfa::kDead;
    }
    for (std::vector<Dfa::Call>& calls : rules_[r].calls) {
      std::erase_if(calls, [&](const Dfa::Call& c) { return !lives(r, c.to) || !lives(static_cast<size_t>(c.rule), 0); });
    }
  }
}

// A call that is reached from a rule's start without a byte leads to another rule; none may come back.
void GrammarBuilder::refuse_left_recursion() const {
  std::vector<std::vector<RuleId>> calls_first(rules_.size());
  std::vector<bool> may_be_empty(rules_.size());
  for (size_t r = 0; r < rules_.size(); ++r) may_be_empty[r] = rules_[r].accepting[0];
  // Rules are not empty by calls alone, as far as JSON goes; but a chain of empty ones is followed all the same.
  for (bool changed = true; std::exchange(changed, false);) {
    for (size_t r = 0; r < rules_.size(); ++r) {
      std::vector<int32_t> states = {0};
      std::vector<bool> seen(static_cast<size_t>(rules_[r].num_states()), false);
      seen[0] = true;
      calls_first[r].clear();
      while (!states.empty()) {
        const auto s = static_cast<size_t>(states.back());
        states.pop_back();
        if (rules_[r].accepting[s] && !may_be_empty[r]) changed = may_be_empty[r] = true;
        for (const Dfa::Call& call : rules_[r].calls[s]) {
          calls_first[r].push_back(call.rule);
          if (!may_be_empty[static_cast<size_t>(call.rule)] || seen[static_cast<size_t>(call.to)]) continue;
          seen[static_cast<size_t>(call.to)] = true;
          states.push_back(call.to);
        }
      }
    }
  }
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(rules_.size(), Mark::kNew);
  std::vector<std::pair<size_t, size_t>> path;  // rule, next of its calls
  for (size_t root = 0; root < rules_.size(); ++root) {
    if (marks[root] != Mark::kNew) continue;
    path.assign(1, {root, 0});
    marks[root] = Mark::kOpen;
    while (!path.empty()) {
      auto& [rule, i] = path.back();
      if (i == calls_first[rule].size()) {
        marks[rule] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const auto callee = static_cast<size_t>(calls_first[rule][i++]);
      check(marks[callee] != Mark::kOpen,
            "the grammar refers to itself without anything before: a '$ref' that leads back to where "
            "it stands");
      constexpr size_t kMaxChain = 200;
      check(path.size() < kMaxChain, "the grammar has a chain of more than {} '$ref' or alternatives", kMaxChain);
      if (marks[callee] == Mark::kNew) {
        marks[callee] = Mark::kOpen;
        path.emplace_back(callee, 0);
      }
    }
  }
}

Grammar GrammarBuilder::finish(RuleId root, const Alphabet& alphabet) {
  drop_bytes(alphabet);
  find_productive();
  check(productive_.at(static_cast<size_t>(root)).at(0), "the grammar allows no text at all (with the tokens of this model)");
  drop_dead();
  refuse_left_recursion();
  Grammar grammar;
  std::vector<StateId> first;
  StateId count = 0;
  for (const Dfa& dfa : rules_) {
    first.push_back(count);
    count += dfa.num_states();
  }
  for (size_t r = 0; r < rules_.size(); ++r) {
    const Dfa& dfa = rules_[r];
    grammar.rules_.push_back({dfa.class_of});
    for (int32_t s = 0; s < dfa.num_states(); ++s) {
      Grammar::State state;
      state.rule = static_cast<uint32_t>(r);
      state.row = static_cast<uint32_t>(grammar.next_.size());
      state.accepting = dfa.accepting[static_cast<size_t>(s)];
      for (int32_t c = 0; c < dfa.num_classes; ++c) {
        const int32_t to = dfa.next[static_cast<size_t>(s) * static_cast<size_t>(dfa.num_classes) + static_cast<size_t>(c)];
        state.has_bytes |= to != Dfa::kDead;
        grammar.next_.push_back(to == Dfa::kDead ? kNoState : first[r] + to);
      }
      state.calls_begin = static_cast<uint32_t>(grammar.calls_.size());
      for (const Dfa::Call& call : dfa.calls[static_cast<size_t>(s)]) {
        grammar.calls_.push_back({first[static_cast<size_t>(call.rule)], first[r] + call.to});
      }
      state.calls_end = static_cast<uint32_t>(grammar.calls_.size());
      state.branches = state.accepting || state.calls_end > state.calls_begin;
      grammar.states_.push_back(state);
    }
  }
  grammar.start_ = first[static_cast<size_t>(root)];
  rules_.clear();
  return grammar;
}

}  // namespace lockstep::grammar
