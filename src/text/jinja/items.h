// Going through the items of a value, once.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/jinja/run.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

bool is_iterable(const Value& value);

class Items {
 public:
  // what: who asks, for the message where the value cannot be gone through.
  Items(Run& run, Value over, std::string_view what);
  bool next(Value& item);  // false at the end

 private:
  Run& run_;
  Value over_;
  size_t position_ = 0;  // in bytes or items
};

std::vector<Value> all_items(Run& run, const Value& value, std::string_view what);

}  // namespace lockstep::text::jinja
