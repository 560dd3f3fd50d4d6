#include "grammar/regex.h"

#include <algorithm>

namespace lockstep::grammar {
namespace {

using Kind = RegexNode::Kind;

class RegexBuilder {
 public:
  RegexBuilder(Nfa& nfa, Match match, const WriteCharacters& write)
      : nfa_(nfa), search_(match == Match::kSearch), write_(write) {}

  // first, last: nothing of the pattern stands before, behind `node`.
  NfaState build(const RegexNode& node, bool first, bool last, NfaState to) {
    switch (node.kind) {
      case Kind::kAlternatives: {
        std::vector<NfaState> all;
        for (const auto& child : node.children) all.push_back(build(*child, first, last, to));
        return nfa_.any_of(all);
      }
      case Kind::kSequence: return build_sequence(node, first, last, to);
      case Kind::kStart:
        check(first, "the regular expression has '^' where it is not at the beginning, which is not supported");
        return last ? anything(to) : to;
      case Kind::kEnd:
        check(last, "the regular expression has '$' where it is not at the end, which is not supported");
        return first ? anything(to) : to;
      case Kind::kCharacter:
      case Kind::kRepeat: break;
    }
    to = last ? anything(to) : to;
    const NfaState start = node.kind == Kind::kCharacter ? write_(nfa_, node.characters.narrow, to) : build_repeat(node, to);
    return first ? anything(start) : start;
  }

 private:
  NfaState build_repeat(const RegexNode& node, NfaState to) {
    const RegexNode& child = *node.children.front();
    return nfa_.repeat(
        node.min, node.max, [&](NfaState next) { return build(child, false, false, next); }, to);
  }

  NfaState build_sequence(const RegexNode& node, bool first, bool last, NfaState to) {
    // Anchors that are repeated at an end are one.
    auto begin = node.children.begin(), end = node.children.end();
    while (first && end - begin >= 2 && (*begin)->kind == Kind::kStart && (*(begin + 1))->kind == Kind::kStart) ++begin;
    while (last && end - begin >= 2 && (*(end - 1))->kind == Kind::kEnd && (*(end - 2))->kind == Kind::kEnd) --end;
    if (begin == end) return first || last ? anything(to) : to;
    for (auto it = end; it != begin; --it) to = build(**(it - 1), first && it - 1 == begin, last && it == end, to);
    return to;
  }

  // Where the pattern is searched for, whatever may stand before or behind it.
  NfaState anything(NfaState to) {
    if (!search_) return to;
    return nfa_.repeat(
        0, Nfa::kUnbounded, [&](NfaState next) { return write_(nfa_, CharacterSet::all().narrow, next); }, to);
  }

  Nfa& nfa_;
  bool search_;
  const WriteCharacters& write_;
};

}  // namespace

NfaState write_plain(Nfa& nfa, const text::CodePointSet& set, NfaState to) { return nfa.code_points(set, to); }

NfaState build_regex(Nfa& nfa, const RegexNode& regex, Match match, const WriteCharacters& write, NfaState to) {
  return RegexBuilder(nfa, match, write).build(regex, true, true, to);
}

}  // namespace lockstep::grammar
