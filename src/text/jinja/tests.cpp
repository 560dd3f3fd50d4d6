#include "text/jinja/tests.h"

#include <fmt/format.h>

#include "text/jinja/arguments.h"
#include "text/jinja/filters.h"
#include "text/jinja/items.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_functions.h"

namespace lockstep::text::jinja {

namespace {

template <bool (*F)(const Value&)>
Value plain(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "this test", arguments, {});
  return F(self);
}

template <Operator kOp>
Value compared(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "this test", arguments, {""}, 1);
  return compare(run, kOp, self, *bound[0]);
}

Value in(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the test 'in'", arguments, {"seq"}, 1);
  return contains(run, *bound[0], self);
}

Value same(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the test 'sameas'", arguments, {"other"}, 1);
  return is_same(self, *bound[0]);
}

bool remainder_is(Run& run, const Value& value, const Value& divisor, int64_t wanted) {
  const Value rest = calculate(run, Operator::kModulo, value, divisor);
  return is_equal(run, rest, wanted);
}
Value odd(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the test 'odd'", arguments, {});
  return remainder_is(run, self, 2, 1);
}
Value even(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the test 'even'", arguments, {});
  return remainder_is(run, self, 2, 0);
}
Value divisible(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the test 'divisibleby'", arguments, {"num"}, 1);
  return remainder_is(run, self, *bound[0], 0);
}

Value lower(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the test 'lower'", arguments, {});
  return is_lower_text(to_text(run, self));
}
Value upper(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the test 'upper'", arguments, {});
  return is_upper_text(to_text(run, self));
}

bool is_sequence(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is_sequence() || v.is(Kind::kDict) || v.is(Kind::kRange);
}
bool is_callable(const Value& v) {
  return v.is_undefined() || v.is(Kind::kBuiltin) || v.is(Kind::kMethod) || v.is(Kind::kMacro) || v.is(Kind::kLoop) ||
         v.is(Kind::kJoiner);
}
bool is_filter_name(const Value& v) { return v.is_string() && find_filter(v.text()) != nullptr; }
bool is_test_name(const Value& v) { return v.is_string() && find_test(v.text()) != nullptr; }

constexpr Builtin kTests[] = {
    {"boolean", plain<[](const Value& v) { return v.is(Kind::kBool); }>},
    {"callable", plain<is_callable>},
    {"defined", plain<[](const Value& v) { return !v.is_undefined(); }>},
    {"divisibleby", divisible},
    {"eq", compared<Operator::kEqual>},
    {"equalto", compared<Operator::kEqual>},
    {"==", compared<Operator::kEqual>},
    {"escaped", plain<[](const Value& v) { return v.is_string() && v.as<String>().is_markup; }>},
    {"even", even},
    {"false", plain<[](const Value& v) { return v.is(Kind::kBool) && v.integer() == 0; }>},
    {"filter", plain<is_filter_name>},
    {"float", plain<[](const Value& v) { return v.is(Kind::kFloat); }>},
    {"ge", compared<Operator::kGreaterEqual>},
    {">=", compared<Operator::kGreaterEqual>},
    {"gt", compared<Operator::kGreater>},
    {"greaterthan", compared<Operator::kGreater>},
    {">", compared<Operator::kGreater>},
    {"in", in},
    {"integer", plain<[](const Value& v) { return v.is(Kind::kInt); }>},
    {"iterable", plain<is_iterable>},
    {"le", compared<Operator::kLessEqual>},
    {"<=", compared<Operator::kLessEqual>},
    {"lower", lower},
    {"lt", compared<Operator::kLess>},
    {"lessthan", compared<Operator::kLess>},
    {"<", compared<Operator::kLess>},
    {"mapping", plain<[](const Value& v) { return v.is(Kind::kDict); }>},
    {"ne", compared<Operator::kNotEqual>},
    {"!=", compared<Operator::kNotEqual>},
    {"none", plain<[](const Value& v) { return v.is_none(); }>},
    {"number", plain<[](const Value& v) { return v.is_number(); }>},
    {"odd", odd},
    {"sameas", same},
    {"sequence", plain<is_sequence>},
    {"string", plain<[](const Value& v) { return v.is_string(); }>},
    {"test", plain<is_test_name>},
    {"true", plain<[](const Value& v) { return v.is(Kind::kBool) && v.integer() != 0; }>},
    {"undefined", plain<[](const Value& v) { return v.is_undefined(); }>},
    {"upper", upper},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  for (const Builtin& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

std::string unknown_test(std::string_view name) { return fmt::format("there is no test '{}'", name); }

}  // namespace lockstep::text::jinja
