// What operators do with values, as in Python.
#pragma once

#include <cstdint>
#include <string_view>

#include "text/jinja/run.h"
#include "text/jinja/syntax.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

bool is_true(const Value& value);

enum class Order { kLess, kEqual, kGreater, kUnordered };
Order compare_numbers(const Value& a, const Value& b);  // exactly, also between integers and floats

bool is_equal(Run& run, const Value& a, const Value& b);
bool is_same(const Value& a, const Value& b);                         // `is` of Python: the same object
bool is_less(Run& run, const Value& a, const Value& b);               // throws Error where the types have no order
bool compare(Run& run, Operator op, const Value& a, const Value& b);  // the operators of comparison, `in` included
bool contains(Run& run, const Value& container, const Value& item);

Value calculate(Run& run, Operator op, const Value& a, const Value& b);  // the other operators
Value negate(Run& run, const Value& value);
Value plus(Run& run, const Value& value);

int64_t to_integer(Run& run, const Value& value, std::string_view what);  // of an int or bool; else Error naming `what`
int64_t length(Run& run, const Value& value);                             // len()

// object[start:stop:step]; a missing bound is None.
Value slice(Run& run, const Value& object, const Value& start, const Value& stop, const Value& step);

}  // namespace lockstep::text::jinja
