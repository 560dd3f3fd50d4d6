#include "grammar/dfa.h"

#include <algorithm>
#include <bitset>
#include <map>
#include <unordered_map>
#include <utility>

namespace lockstep::grammar {
namespace {

// Numbers the stretches of bytes between `starts`, the bytes where something begins to be different.
void set_classes(Dfa& dfa, const std::bitset<257>& starts) {
  int32_t current = 0;
  for (size_t b = 0; b < 256; ++b) {
    if (b > 0 && starts[b]) ++current;
    dfa.class_of[b] = static_cast<uint8_t>(current);
  }
  dfa.num_classes = current + 1;
}

struct SetHash {
  size_t operator()(const std::vector<NfaState>& set) const {
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, on words
    for (const NfaState s : set) hash = (hash ^ static_cast<uint64_t>(s)) * 0x100000001b3u;
    return static_cast<size_t>(hash ^ (hash >> 32));
  }
};

class SubsetConstruction {
 public:
  SubsetConstruction(const Nfa& nfa, Budget& budget) : nfa_(nfa), budget_(budget), seen_(nfa.num_states(), 0) {}

  Dfa run(NfaState start) {
    std::bitset<257> starts;
    for (size_t s = 0; s < nfa_.num_states(); ++s) {
      for (const Nfa::ByteEdge& edge : nfa_.state(static_cast<NfaState>(s)).bytes) {
        starts.set(edge.low);
        starts.set(size_t{edge.high} + 1);
      }
    }
    set_classes(dfa_, starts);
    state_of({start});
    for (size_t done = 0; done < sets_.size(); ++done) expand(static_cast<int32_t>(done));
    return std::move(dfa_);
  }

 private:
  // The closure of `set` under epsilons, sorted; states that only lead on are left out.
  std::vector<NfaState> close(std::vector<NfaState> set) {
    ++round_;
    std::vector<NfaState> closed;
    for (const NfaState s : set) seen_[static_cast<size_t>(s)] = round_;
    while (!set.empty()) {
      const NfaState s = set.back();
      set.pop_back();
      const Nfa::State& state = nfa_.state(s);
      budget_.use_work(1 + static_cast<int64_t>(state.epsilons.size()));
      if (s == nfa_.end() || !state.bytes.empty() || !state.calls.empty()) closed.push_back(s);
      for (const NfaState to : state.epsilons) {
        if (std::exchange(seen_[static_cast<size_t>(to)], round_) != round_) set.push_back(to);
      }
    }
    std::sort(closed.begin(), closed.end());
    return closed;
  }

  int32_t state_of(std::vector<NfaState> set) {
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
    if (set.empty()) return Dfa::kDead;
    std::vector<NfaState> closed = close(std::move(set));
    if (closed.empty()) return Dfa::kDead;
    const auto [it, is_new] = known_.try_emplace(closed, static_cast<int32_t>(sets_.size()));
    if (!is_new) return it->second;
    budget_.use_dfa_state(dfa_.num_classes);
    dfa_.accepting.push_back(std::binary_search(closed.begin(), closed.end(), nfa_.end()));
    dfa_.calls.emplace_back();
    dfa_.next.resize(dfa_.next.size() + static_cast<size_t>(dfa_.num_classes), Dfa::kDead);
    sets_.push_back(std::move(closed));
    return it->second;
  }

  void expand(int32_t from) {
    std::map<uint8_t, std::vector<NfaState>> by_class;  // only those that lead somewhere
    std::map<RuleId, std::vector<NfaState>> by_rule;
    const std::vector<NfaState> set = sets_[static_cast<size_t>(from)];
    for (const NfaState s : set) {
      for (const Nfa::ByteEdge& edge : nfa_.state(s).bytes) {
        const uint8_t last = dfa_.class_of[edge.high];
        budget_.use_work(1 + last - dfa_.class_of[edge.low]);
        for (int c = dfa_.class_of[edge.low]; c <= last; ++c) by_class[static_cast<uint8_t>(c)].push_back(edge.to);
      }
      for (const Nfa::Call& call : nfa_.state(s).calls) by_rule[call.rule].push_back(call.to);
    }
    const size_t row = static_cast<size_t>(from) * static_cast<size_t>(dfa_.num_classes);
    std::map<std::vector<NfaState>, int32_t> reached;  // many classes lead to the same set
    for (auto& [c, targets] : by_class) {
      const auto known = reached.find(targets);
      const int32_t to = known != reached.end() ? known->second : reached[targets] = state_of(targets);
      dfa_.next[row + c] = to;
    }
    for (auto& [rule, targets] : by_rule) {
      const int32_t to = state_of(std::move(targets));
      if (to != Dfa::kDead) dfa_.calls[static_cast<size_t>(from)].push_back({rule, to});
    }
  }

  const Nfa& nfa_;
  Budget& budget_;
  Dfa dfa_;
  std::vector<int32_t> seen_;  // round of close() that met the state
  int32_t round_ = 0;
  std::vector<std::vector<NfaState>> sets_;  // by state of the DFA
  std::unordered_map<std::vector<NfaState>, int32_t, SetHash> known_;
};

}  // namespace

bool Dfa::matches(std::string_view bytes) const {
  int32_t state = 0;
  for (const char c : bytes) {
    if (state == kDead) return false;
    state = step(state, static_cast<uint8_t>(c));
  }
  return state != kDead && accepting[static_cast<size_t>(state)];
}

Dfa determinise(const Nfa& nfa, NfaState start, Budget& budget) {
  Dfa dfa = SubsetConstruction(nfa, budget).run(start);
  if (dfa.num_states() == 0) {  // nothing is accepted
    budget.use_dfa_state(1);
    dfa.num_classes = 1;
    dfa.class_of = {};
    dfa.next = {Dfa::kDead};
    dfa.accepting = {false};
    dfa.calls.resize(1);
  }
  return dfa;
}

Dfa intersect(const Dfa& a, const Dfa& b, Budget& budget) {
  Dfa dfa;
  std::bitset<257> starts;
  for (size_t i = 1; i < 256; ++i) {
    if (a.class_of[i] != a.class_of[i - 1] || b.class_of[i] != b.class_of[i - 1]) starts.set(i);
  }
  set_classes(dfa, starts);
  std::vector<uint8_t> byte_of(static_cast<size_t>(dfa.num_classes));
  for (size_t i = 256; i-- > 0;) byte_of[dfa.class_of[i]] = static_cast<uint8_t>(i);
  std::map<std::pair<int32_t, int32_t>, int32_t> known;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  const auto state_of = [&](int32_t x, int32_t y) {
    if (x == Dfa::kDead || y == Dfa::kDead) return Dfa::kDead;
    const auto [it, is_new] = known.try_emplace({x, y}, static_cast<int32_t>(pairs.size()));
    if (is_new) {
      budget.use_dfa_state(dfa.num_classes);
      pairs.emplace_back(x, y);
      dfa.accepting.push_back(a.accepting[static_cast<size_t>(x)] && b.accepting[static_cast<size_t>(y)]);
    }
    return it->second;
  };
  state_of(0, 0);
  for (size_t done = 0; done < pairs.size(); ++done) {
    const auto [x, y] = pairs[done];
    budget.use_work(dfa.num_classes);
    for (const uint8_t byte : byte_of) dfa.next.push_back(state_of(a.step(x, byte), b.step(y, byte)));
  }
  dfa.calls.resize(pairs.size());
  return dfa;
}

}  // namespace lockstep::grammar
