// The variable `loop`.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

// Items come one by one, at most one ahead of the body, so that what filters a loop sees what its body did before.
struct Loop : Mutable {
  Loop(std::function<bool(Value&)> next_item, int64_t known_length, int64_t level)
      : Mutable(Kind::kLoop), source(std::move(next_item)), depth0(level), known_length_(known_length) {}
  void clear() override;

  bool advance();  // to the next item; false at the end
  bool has_next();
  int64_t length();

  std::function<bool(Value&)> source;
  std::function<Value(const Value&)> recurse;  // empty: the loop is not recursive
  int64_t index0 = -1;
  int64_t depth0;
  Value previous_item, current, next_item;  // where there are such
  std::vector<Value> last_changed;
  bool was_changed = false;  // loop.changed was called

 private:
  std::vector<Value> rest_;  // read to know the length
  size_t rest_position_ = 0;
  bool is_read_ = false, has_peeked_ = false, is_over_ = false;
  int64_t known_length_;  // -1: not known
};

}  // namespace lockstep::text::jinja
