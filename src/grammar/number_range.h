// Numbers between bounds, as automata over their decimal digits: exact, for the bounds' digits are followed one by one.
#pragma once

#include <cstdint>
#include <optional>

#include "grammar/nfa.h"

namespace lockstep::grammar {

// Integers from min to max, both included, as far as JsonRules::kMaxDigits digits go; without leading zeros, and no "-0".
NfaState build_integer_range(Nfa& nfa, std::optional<int64_t> min, std::optional<int64_t> max, NfaState to);

struct Bound {
  double value = 0.0;
  bool excluded = false;
};

// Numbers between the bounds, without exponents, and of so few digits that reading them as double keeps their order: 15, at most
// 9 of them before the point unless a bound has more. Throws Error for a bound with more than 9 decimals or above 10^12.
NfaState build_number_range(Nfa& nfa, const std::optional<Bound>& min, const std::optional<Bound>& max, NfaState to);

}  // namespace lockstep::grammar
