#include "grammar/json_rules.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace lockstep::grammar {
namespace {

using text::CodePointSet;

CodePointSet set_of(std::initializer_list<std::pair<char32_t, char32_t>> ranges) {
  CodePointSet set;
  for (const auto& [first, last] : ranges) set.unite(CodePointSet(first, last));
  return set;
}

// What stands in a string as it is.
const CodePointSet& plain_characters() {
  static const CodePointSet set = set_of({{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0xD7FF}, {0xE000, 0x10FFFF}});
  return set;
}

NfaState one_of(Nfa& nfa, std::string_view bytes, NfaState to) {
  std::vector<NfaState> all;
  for (const char c : bytes) all.push_back(nfa.text({&c, 1}, to));
  return nfa.any_of(all);
}

constexpr std::string_view kHex = "0123456789abcdefABCDEF";

NfaState hex_digits(Nfa& nfa, int32_t count, NfaState to) {
  return nfa.repeat(
      count, count, [&](NfaState next) { return one_of(nfa, kHex, next); }, to);
}

// \uHHHH, or two of them that are a surrogate pair.
NfaState unicode_escape(Nfa& nfa, NfaState to) {
  const NfaState two = hex_digits(nfa, 2, to);
  const NfaState three = one_of(nfa, kHex, two);
  const NfaState low = nfa.text("\\u", one_of(nfa, "dD", one_of(nfa, "cdefCDEF", two)));
  const NfaState high = one_of(nfa, "89abAB", hex_digits(nfa, 2, low));
  return nfa.text("\\u", nfa.any_of({one_of(nfa, "0123456789abcefABCEF", three),
                                     one_of(nfa, "dD", nfa.any_of({one_of(nfa, "01234567", two), high}))}));
}

NfaState digits(Nfa& nfa, int32_t min, int32_t max, NfaState to) {
  return nfa.repeat(
      min, max, [&](NfaState next) { return nfa.byte_range('0', '9', next); }, to);
}

NfaState integer_part(Nfa& nfa, NfaState to) {
  const NfaState magnitude =
      nfa.any_of({nfa.text("0", to), nfa.byte_range('1', '9', digits(nfa, 0, JsonRules::kMaxDigits - 1, to))});
  return nfa.optional(nfa.text("-", magnitude), magnitude);
}

}  // namespace

NfaState string_character(Nfa& nfa, NfaState to) {
  const NfaState escape = nfa.text("\\", one_of(nfa, "\"\\/bfnrt", to));
  return nfa.any_of({nfa.code_points(plain_characters(), to), escape, unicode_escape(nfa, to)});
}

NfaState write_in_string(Nfa& nfa, const CodePointSet& set, NfaState to) {
  static const std::map<char32_t, std::string> kShort = {{'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"}, {'\f', "\\f"},
                                                         {'\n', "\\n"}, {'\r', "\\r"},  {'\t', "\\t"}};
  CodePointSet plain = set;
  plain.intersect(plain_characters());
  std::vector<NfaState> all = {nfa.code_points(plain, to)};
  for (const auto& [first, last] : set.ranges()) {
    for (char32_t c = first; c <= last && c <= '\\'; ++c) {
      if (const auto escape = kShort.find(c); escape != kShort.end()) {
        all.push_back(nfa.text(escape->second, to));
      } else if (c < 0x20) {
        all.push_back(nfa.text(fmt::format("\\u{:04x}", static_cast<uint32_t>(c)), to));
      }
    }
  }
  return nfa.any_of(all);
}

void JsonRules::set(RuleId rule, const std::function<NfaState(Nfa&, NfaState end)>& body) {
  Nfa nfa(budget_);
  const NfaState start = body(nfa, nfa.end());
  builder_.set_rule(rule, determinise(nfa, start, budget_));
}

RuleId JsonRules::add(const std::function<NfaState(Nfa&, NfaState end)>& body) {
  const RuleId rule = builder_.add_rule();
  set(rule, body);
  return rule;
}

RuleId JsonRules::once(RuleId& rule, const std::function<NfaState(Nfa&, NfaState end)>& body) {
  if (rule >= 0) return rule;
  rule = builder_.add_rule();  // known before its body, which may call it
  set(rule, body);
  return rule;
}

RuleId JsonRules::string() {
  return once(string_, [](Nfa& nfa, NfaState end) {
    const auto character = [&](NfaState next) { return string_character(nfa, next); };
    return nfa.text("\"", nfa.repeat(0, Nfa::kUnbounded, character, nfa.text("\"", end)));
  });
}

RuleId JsonRules::integer() {
  return once(integer_, [](Nfa& nfa, NfaState end) { return integer_part(nfa, end); });
}

RuleId JsonRules::number() {
  return once(number_, [](Nfa& nfa, NfaState end) {
    const NfaState exponent_digits = digits(nfa, 1, kMaxExponent, end);
    const NfaState sign = nfa.any_of({one_of(nfa, "+-", exponent_digits), exponent_digits});
    const NfaState exponent = nfa.any_of({one_of(nfa, "eE", sign), end});
    const NfaState fraction = nfa.text(".", digits(nfa, 1, kMaxFraction, exponent));
    return integer_part(nfa, nfa.any_of({fraction, exponent}));
  });
}

RuleId JsonRules::boolean() {
  return once(boolean_, [](Nfa& nfa, NfaState end) { return nfa.any_of({nfa.text("true", end), nfa.text("false", end)}); });
}

RuleId JsonRules::null() {
  return once(null_, [](Nfa& nfa, NfaState end) { return nfa.text("null", end); });
}

RuleId JsonRules::nothing() {
  return once(nothing_, [](Nfa& nfa, NfaState) { return nfa.any_of({}); });
}

RuleId JsonRules::object() {
  return once(object_, [this](Nfa& nfa, NfaState end) {
    const auto member = [&](NfaState next) { return nfa.call(string(), nfa.text(":", space(nfa, nfa.call(value(), next)))); };
    return list(nfa, '{', '}', 0, Nfa::kUnbounded, member, end);
  });
}

RuleId JsonRules::array() {
  return once(array_, [this](Nfa& nfa, NfaState end) {
    return list(
        nfa, '[', ']', 0, Nfa::kUnbounded, [&](NfaState next) { return nfa.call(value(), next); }, end);
  });
}

RuleId JsonRules::value() {
  return once(value_, [this](Nfa& nfa, NfaState end) {
    std::vector<NfaState> all;
    for (const RuleId rule : {string(), number(), boolean(), null(), object(), array()}) all.push_back(nfa.call(rule, end));
    return nfa.any_of(all);
  });
}

NfaState JsonRules::space(Nfa& nfa, NfaState to) {
  const RuleId rule = once(space_, [](Nfa& body, NfaState end) {
    const auto blank = [&](NfaState next) { return body.text(" ", next); };
    return body.any_of({body.text(" ", end), body.text("\n", body.repeat(0, kMaxIndent, blank, end))});
  });
  return nfa.optional(nfa.call(rule, to), to);
}

NfaState JsonRules::key(Nfa& nfa, std::string_view name, NfaState to) {
  return literal(nfa, std::string(name), nfa.text(":", space(nfa, to)));
}

NfaState JsonRules::other_key(Nfa& nfa, const std::set<std::string>& names, NfaState to) {
  const NfaState close = nfa.text("\"", nfa.text(":", space(nfa, to)));
  const NfaState free = nfa.repeat(
      0, Nfa::kUnbounded, [&](NfaState next) { return nfa.code_points(plain_characters(), next); }, close);
  // The names as a tree of characters; off the tree anything goes.
  struct Node {
    NfaState state;
    std::map<char32_t, size_t> below;
    bool is_name = false;
  };
  std::vector<Node> tree = {{nfa.add_state(), {}, false}};
  for (const std::string& name : names) {
    size_t node = 0;
    for (size_t i = 0; i < name.size();) {
      const auto [it, is_new] = tree[node].below.try_emplace(text::next_code_point(name, i), tree.size());
      node = it->second;
      if (is_new) tree.push_back({nfa.add_state(), {}, false});
    }
    tree[node].is_name = true;
  }
  for (const Node& node : tree) {
    if (!node.is_name) nfa.add_epsilon(node.state, close);
    CodePointSet others = plain_characters(), taken;
    for (const auto& [c, next] : node.below) {
      CodePointSet one(c, c);
      taken.unite(one);
      one.intersect(plain_characters());
      nfa.add_epsilon(node.state, nfa.code_points(one, tree[next].state));
    }
    taken.complement();
    others.intersect(taken);
    nfa.add_epsilon(node.state, nfa.code_points(others, free));
  }
  const NfaState start = tree.front().state;
  return nfa.text("\"", start);
}

NfaState JsonRules::literal(Nfa& nfa, const SchemaJson& value, NfaState to) {
  if (value.is_array()) {
    auto item = value.rbegin();
    const auto size = static_cast<int32_t>(value.size());
    const auto next_item = [&](NfaState next) { return literal(nfa, *item++, next); };
    return list(nfa, '[', ']', size, size, next_item, to);
  }
  if (value.is_object()) {
    auto member = value.rbegin();
    const auto size = static_cast<int32_t>(value.size());
    const auto next_member = [&](NfaState next) {
      const NfaState start = key(nfa, member.key(), literal(nfa, *member, next));
      ++member;
      return start;
    };
    return list(nfa, '{', '}', size, size, next_member, to);
  }
  return nfa.text(value.dump(-1, ' ', false, SchemaJson::error_handler_t::strict), to);
}

NfaState JsonRules::list(Nfa& nfa, char open, char close, int32_t min, int32_t max, const Nfa::Child& item, NfaState to) {
  const NfaState closed = nfa.text({&close, 1}, to);
  const std::string opening(1, open);
  if (max == 0) return nfa.text(opening, space(nfa, closed));
  const NfaState after_last = space(nfa, closed);
  const auto further = [&](NfaState next) { return nfa.text(",", space(nfa, item(next))); };
  // Built from the end: the items behind the first, then the first.
  const NfaState rest = nfa.repeat(std::max(min - 1, 0), max == Nfa::kUnbounded ? max : max - 1, further, after_last);
  const NfaState first = item(rest);
  return nfa.text(opening, space(nfa, min == 0 ? nfa.optional(first, closed) : first));
}

}  // namespace lockstep::grammar
