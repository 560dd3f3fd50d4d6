// The arguments of a call, by the names of a function's parameters.
#pragma once

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "text/jinja/run.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

class Bound {
 public:
  static constexpr size_t kMax = 6;
  // what: the function, for messages. The first `required` parameters must be given; names may be "" for those that have no name
  // to call them by. Throws Error for too many, unknown or missing arguments.
  Bound(Run& run, std::string_view what, const Arguments& arguments, std::initializer_list<std::string_view> names,
        size_t required = 0);

  const Value* operator[](size_t i) const { return values_[i]; }  // null where it is not given
  bool has(size_t i) const { return values_[i] != nullptr; }
  // Not given, or None.
  bool is_none(size_t i) const { return values_[i] == nullptr || values_[i]->is_none(); }
  bool flag(size_t i, bool fallback = false) const;
  int64_t integer(size_t i, int64_t fallback = 0) const;
  const std::string& text(size_t i) const;  // Error where it is no string

 private:
  Run& run_;
  std::string_view what_;
  std::array<const Value*, kMax> values_{};
};

}  // namespace lockstep::text::jinja
