#include "grammar/nfa.h"

#include <map>
#include <string>
#include <tuple>

#include "text/utf8.h"

namespace lockstep::grammar {
namespace {

// The sequences of byte ranges that are the UTF-8 of a range of code points whose encodings are equally long. Source: the
// splitting of Ken Thompson's grep, as Russ Cox describes it for RE2 ("Regular Expression Matching in the Wild").
void split(const std::string& low, const std::string& high, size_t at, std::vector<std::pair<uint8_t, uint8_t>>& prefix,
           const std::function<void()>& emit) {
  const auto byte = [](char c) { return static_cast<uint8_t>(c); };
  constexpr uint8_t kFirst = 0x80, kLast = 0xBF;  // of continuation bytes
  if (at == low.size()) return emit();
  const auto is_all = [&](const std::string& s, uint8_t b) {
    for (size_t i = at + 1; i < s.size(); ++i) {
      if (byte(s[i]) != b) return false;
    }
    return true;
  };
  const auto go = [&](uint8_t from, uint8_t to, const std::string& l, const std::string& h) {
    prefix.emplace_back(from, to);
    split(l, h, at + 1, prefix, emit);
    prefix.pop_back();
  };
  const auto with_tail = [&](char lead, uint8_t b) {
    std::string s = low;
    s[at] = lead;
    for (size_t i = at + 1; i < s.size(); ++i) s[i] = static_cast<char>(b);
    return s;
  };
  if (low[at] == high[at]) return go(byte(low[at]), byte(high[at]), low, high);
  uint8_t from = byte(low[at]), to = byte(high[at]);
  if (!is_all(low, kFirst)) {
    go(from, from, low, with_tail(low[at], kLast));
    ++from;
  }
  const bool partial_end = !is_all(high, kLast);
  if (partial_end) --to;
  if (from <= to) go(from, to, with_tail(low[at], kFirst), with_tail(low[at], kLast));
  if (partial_end) go(byte(high[at]), byte(high[at]), with_tail(high[at], kFirst), high);
}

std::string utf8_of(char32_t c) {
  std::string out;
  text::append_code_point(out, c);
  return out;
}

}  // namespace

Nfa::Nfa(Budget& budget) : budget_(budget) { add_state(); }

NfaState Nfa::add_state() {
  budget_.use_nfa_state();
  states_.emplace_back();
  return static_cast<NfaState>(states_.size()) - 1;
}

NfaState Nfa::byte_range(uint8_t low, uint8_t high, NfaState to) {
  const NfaState s = add_state();
  states_.back().bytes.push_back({low, high, to});
  return s;
}

NfaState Nfa::text(std::string_view bytes, NfaState to) {
  for (auto it = bytes.rbegin(); it != bytes.rend(); ++it)
    to = byte_range(static_cast<uint8_t>(*it), static_cast<uint8_t>(*it), to);
  return to;
}

NfaState Nfa::call(RuleId rule, NfaState to) {
  const NfaState s = add_state();
  states_.back().calls.push_back({rule, to});
  return s;
}

NfaState Nfa::any_of(const std::vector<NfaState>& alternatives) {
  const NfaState s = add_state();
  states_.back().epsilons = alternatives;
  return s;
}

NfaState Nfa::repeat(int32_t min, int32_t max, const Child& child, NfaState to) {
  NfaState next = to;
  if (max == kUnbounded) {
    next = add_state();
    add_epsilon(next, to);
    const NfaState again = child(next);
    add_epsilon(next, again);
  } else {
    for (int32_t i = min; i < max; ++i) next = any_of({child(next), to});
  }
  for (int32_t i = 0; i < min; ++i) {
    budget_.use_work(1);  // a child may need no state
    next = child(next);
  }
  return next;
}

NfaState Nfa::code_points(const text::CodePointSet& set, NfaState to) {
  const NfaState start = add_state();
  // Equal ends of sequences are one state each, so that the automaton is about as small as it can be.
  std::map<std::tuple<uint8_t, uint8_t, NfaState>, NfaState> known;
  constexpr std::pair<char32_t, char32_t> kLengths[] = {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, 0x10FFFF}};
  for (const auto& [first, last] : set.ranges()) {
    for (const auto& [shortest, longest] : kLengths) {
      const char32_t low = std::max(first, shortest), high = std::min(last, longest);
      if (low > high) continue;
      std::vector<std::pair<uint8_t, uint8_t>> ranges;
      split(utf8_of(low), utf8_of(high), 0, ranges, [&] {
        NfaState next = to;
        for (size_t i = ranges.size() - 1; i > 0; --i) {
          const auto key = std::tuple(ranges[i].first, ranges[i].second, next);
          const auto found = known.find(key);
          next = found != known.end() ? found->second : known[key] = byte_range(ranges[i].first, ranges[i].second, next);
        }
        states_[static_cast<size_t>(start)].bytes.push_back({ranges[0].first, ranges[0].second, next});
      });
    }
  }
  return start;
}

}  // namespace lockstep::grammar
