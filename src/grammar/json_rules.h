// JsonRules: the parts that grammars of JSON are made of, each a rule, made when first asked for.
//
// How JSON is written here. White space may stand after `{` `[` `,` `:` and before `}` `]`, nowhere else: one blank, or one line
// end and at most kMaxIndent blanks; so a model cannot write blanks for ever. Numbers have at most kMaxDigits digits before and
// kMaxFraction behind the point, and exponents kMaxExponent, so that every reader takes them. Strings may be of any length, their
// escapes are JSON's, and surrogates come in pairs.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "grammar/budget.h"
#include "grammar/grammar.h"
#include "grammar/nfa.h"

namespace lockstep::grammar {

using SchemaJson = nlohmann::ordered_json;

class JsonRules {
 public:
  static constexpr int32_t kMaxIndent = 32;
  static constexpr int32_t kMaxDigits = 18;
  static constexpr int32_t kMaxFraction = 17;
  static constexpr int32_t kMaxExponent = 2;

  // Borrows both.
  JsonRules(GrammarBuilder& builder, Budget& budget) : builder_(builder), budget_(budget) {}

  // A rule of what `body` builds before the state it is given.
  RuleId add(const std::function<NfaState(Nfa&, NfaState end)>& body);
  void set(RuleId rule, const std::function<NfaState(Nfa&, NfaState end)>& body);

  RuleId string();
  RuleId number();
  RuleId integer();
  RuleId boolean();
  RuleId null();
  RuleId object();  // with any members
  RuleId array();
  RuleId value();
  RuleId nothing();  // allows no text

  // That value and no other.
  NfaState literal(Nfa& nfa, const SchemaJson& value, NfaState to);
  // White space, which may be none.
  NfaState space(Nfa& nfa, NfaState to);
  // A key and its colon, with white space behind it.
  NfaState key(Nfa& nfa, std::string_view name, NfaState to);
  // Any key but `names`, written without escapes.
  NfaState other_key(Nfa& nfa, const std::set<std::string>& names, NfaState to);
  // open item (, item)* close, or open close if min is 0; the item comes min to max times.
  NfaState list(Nfa& nfa, char open, char close, int32_t min, int32_t max, const Nfa::Child& item, NfaState to);

 private:
  RuleId once(RuleId& rule, const std::function<NfaState(Nfa&, NfaState end)>& body);

  GrammarBuilder& builder_;
  Budget& budget_;
  RuleId space_ = -1, string_ = -1, number_ = -1, integer_ = -1, boolean_ = -1, null_ = -1, object_ = -1, array_ = -1,
         value_ = -1, nothing_ = -1;
};

// One character of a string as JSON writes it, escapes included: any, and one of a set in its shortest form.
NfaState string_character(Nfa& nfa, NfaState to);
NfaState write_in_string(Nfa& nfa, const text::CodePointSet& set, NfaState to);

}  // namespace lockstep::grammar
