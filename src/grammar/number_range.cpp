#include "grammar/number_range.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>

#include "base/error.h"
#include "grammar/json_rules.h"

namespace lockstep::grammar {
namespace {

constexpr int64_t power_of_ten(int exponent) { return exponent == 0 ? 1 : 10 * power_of_ten(exponent - 1); }
constexpr int64_t kLargest = power_of_ten(JsonRules::kMaxDigits) - 1;

// Numbers of as many digits as low and high have, from low to high.
class EqualLengths {
 public:
  EqualLengths(Nfa& nfa, std::string low, std::string high, NfaState to)
      : nfa_(nfa), low_(std::move(low)), high_(std::move(high)), to_(to) {}
  // tight: all digits so far are those of the bound.
  NfaState from(size_t at, bool tight_low, bool tight_high) {
    if (at == low_.size()) return to_;
    const auto key = std::tuple(at, tight_low, tight_high);
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    const char first = tight_low ? low_[at] : '0', last = tight_high ? high_[at] : '9';
    std::vector<NfaState> all;
    for (char d = first; d <= last; ++d) {
      all.push_back(nfa_.text({&d, 1}, from(at + 1, tight_low && d == first, tight_high && d == last)));
    }
    return known_[key] = nfa_.any_of(all);
  }

 private:
  Nfa& nfa_;
  std::string low_, high_;
  NfaState to_;
  std::map<std::tuple<size_t, bool, bool>, NfaState> known_;
};

// Without leading zeros; 0 <= low.
NfaState magnitudes(Nfa& nfa, int64_t low, int64_t high, NfaState to) {
  std::vector<NfaState> all;
  for (int digits = 1; digits <= JsonRules::kMaxDigits; ++digits) {
    const int64_t shortest = digits == 1 ? 0 : power_of_ten(digits - 1), longest = power_of_ten(digits) - 1;
    const int64_t from = std::max(low, shortest), until = std::min(high, longest);
    if (from <= until) all.push_back(EqualLengths(nfa, std::to_string(from), std::to_string(until), to).from(0, true, true));
  }
  return nfa.any_of(all);
}

// A bound of a magnitude.
struct Decimal {
  int64_t whole = 0;
  std::string decimals;
  bool excluded = false;
};

Decimal decimal_of(const Bound& bound) {
  constexpr double kMost = 1e12;
  constexpr int kMaxDecimals = 9;
  const double x = std::abs(bound.value);
  check(x <= kMost, "the bound {} of a number is above 10^12, which is not supported", bound.value);
  for (int digits = 0; digits <= kMaxDecimals; ++digits) {
    const std::string text = fmt::format("{:.{}f}", x, digits);
    if (std::strtod(text.c_str(), nullptr) != x) continue;
    const size_t point = text.find('.');
    return {std::atoll(text.c_str()), point == std::string::npos ? "" : text.substr(point + 1), bound.excluded};
  }
  fail("the bound {} of a number has more than {} decimals, which is not supported", bound.value, kMaxDecimals);
}

// What may stand behind the whole part: nothing, or a point and digits, so that the decimals are between bounds.
class Fractions {
 public:
  // A bound that is null does not apply.
  Fractions(Nfa& nfa, const Decimal* low, const Decimal* high, int32_t max_digits, NfaState to)
      : nfa_(nfa), low_(low), high_(high), max_digits_(max_digits), to_(to) {}

  NfaState build() {
    const bool tight_low = low_ != nullptr, tight_high = high_ != nullptr;
    std::vector<NfaState> all;
    if (may_stop(0, tight_low, tight_high)) all.push_back(to_);
    if (max_digits_ > 0) all.push_back(nfa_.text(".", digit(0, tight_low, tight_high)));
    return nfa_.any_of(all);
  }

 private:
  static char digit_of(const Decimal& bound, int32_t at) {
    return static_cast<size_t>(at) < bound.decimals.size() ? bound.decimals[static_cast<size_t>(at)] : '0';
  }
  static bool is_zero_from(const Decimal& bound, int32_t at) {
    return static_cast<size_t>(at) >= bound.decimals.size() ||
           bound.decimals.find_first_not_of('0', static_cast<size_t>(at)) == std::string::npos;
  }
  // With `at` digits, which are those of the bounds that are tight.
  bool may_stop(int32_t at, bool tight_low, bool tight_high) const {
    if (tight_low && (low_->excluded || !is_zero_from(*low_, at))) return false;
    return !tight_high || !high_->excluded || !is_zero_from(*high_, at);
  }
  NfaState digit(int32_t at, bool tight_low, bool tight_high) {
    const auto key = std::tuple(at, tight_low, tight_high);
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    std::vector<NfaState> all;
    const char first = tight_low ? digit_of(*low_, at) : '0', last = tight_high ? digit_of(*high_, at) : '9';
    for (char d = first; d <= last; ++d) {
      const bool still_low = tight_low && d == first, still_high = tight_high && d == last;
      std::vector<NfaState> next;
      if (may_stop(at + 1, still_low, still_high)) next.push_back(to_);
      if (at + 1 < max_digits_) next.push_back(digit(at + 1, still_low, still_high));
      all.push_back(nfa_.text({&d, 1}, nfa_.any_of(next)));
    }
    return known_[key] = nfa_.any_of(all);
  }

  Nfa& nfa_;
  const Decimal* low_;
  const Decimal* high_;
  int32_t max_digits_;
  NfaState to_;
  std::map<std::tuple<int32_t, bool, bool>, NfaState> known_;
};

NfaState decimals_between(Nfa& nfa, const Decimal& low, const std::optional<Decimal>& high, NfaState to) {
  constexpr int64_t kExact = 15;  // decimal digits that a double keeps apart
  const int64_t most = std::max(power_of_ten(9) - 1, high ? high->whole : low.whole * 10 + 9);
  const auto max_digits = static_cast<int32_t>(kExact - static_cast<int64_t>(std::to_string(most).size()));
  const int64_t last = high ? high->whole : most;
  if (low.whole > last) return nfa.any_of({});
  if (low.whole == last) {
    return magnitudes(nfa, last, last, Fractions(nfa, &low, high ? &*high : nullptr, max_digits, to).build());
  }
  const NfaState any = Fractions(nfa, nullptr, nullptr, max_digits, to).build();
  std::vector<NfaState> all = {magnitudes(nfa, low.whole, low.whole, Fractions(nfa, &low, nullptr, max_digits, to).build())};
  const int64_t free_until = high ? last - 1 : last;
  if (low.whole + 1 <= free_until) all.push_back(magnitudes(nfa, low.whole + 1, free_until, any));
  if (high) all.push_back(magnitudes(nfa, last, last, Fractions(nfa, nullptr, &*high, max_digits, to).build()));
  return nfa.any_of(all);
}

}  // namespace

NfaState build_integer_range(Nfa& nfa, std::optional<int64_t> min, std::optional<int64_t> max, NfaState to) {
  const int64_t low = std::max(min.value_or(-kLargest), -kLargest), high = std::min(max.value_or(kLargest), kLargest);
  std::vector<NfaState> all;
  if (low <= high && low < 0) all.push_back(nfa.text("-", magnitudes(nfa, std::max<int64_t>(1, -high), -low, to)));
  if (low <= high && high >= 0) all.push_back(magnitudes(nfa, std::max<int64_t>(0, low), high, to));
  return nfa.any_of(all);
}

NfaState build_number_range(Nfa& nfa, const std::optional<Bound>& min, const std::optional<Bound>& max, NfaState to) {
  std::vector<NfaState> all;
  const auto decimal = [](const std::optional<Bound>& bound) {
    return bound ? std::optional(decimal_of(*bound)) : std::optional<Decimal>();
  };
  if (!max || max->value >= 0.0) {
    const Decimal low = min && min->value >= 0.0 ? decimal_of(*min) : Decimal();
    all.push_back(decimals_between(nfa, low, decimal(max), to));
  }
  if (!min || min->value < 0.0) {
    const Decimal low = max && max->value < 0.0 ? decimal_of(*max) : Decimal{.excluded = true};
    all.push_back(nfa.text("-", decimals_between(nfa, low, decimal(min), to)));
  }
  return nfa.any_of(all);
}

}  // namespace lockstep::grammar
